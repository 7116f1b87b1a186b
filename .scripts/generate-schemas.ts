// Writes docs/protocol/schemas/*.schema.json, docs/protocol/README.md and docs/settings.md. With --check it writes
// nothing and exits 1 with the names of files that differ from what it would write.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';
import { protocolDocuments, type ProtocolDocument } from './protocol-documents.js';
import { renderReference } from './protocol-reference.js';
import { renderSettings } from './settings-page.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const folder = 'docs/protocol';

function main(check: boolean): void {
  const wanted = new Map<string, string>([
    [`${folder}/README.md`, renderReference()],
    ['docs/settings.md', renderSettings()],
  ]);
  for (const document of protocolDocuments) {
    wanted.set(`${folder}/schemas/${document.name}.schema.json`, `${JSON.stringify(schemaOf(document), null, 2)}\n`);
  }
  const drifted = [...wanted].filter(([path, text]) => read(path) !== text).map(([path]) => path);
  const left = existing(`${folder}/schemas`).filter((path) => !wanted.has(path));
  if (!check) {
    mkdirSync(join(root, folder, 'schemas'), { recursive: true });
    for (const path of drifted) writeFileSync(join(root, path), wanted.get(path) ?? '');
    for (const path of left) rmSync(join(root, path));
    console.log(`${String(wanted.size)} files, ${String(drifted.length)} written, ${String(left.length)} removed`);
  } else if (drifted.length + left.length > 0) {
    console.error(`Not what the code says: ${[...drifted, ...left].join(', ')}. Run npm run schemas and commit.`);
    process.exitCode = 1;
  }
}

/** The form that is accepted: what has a default may be left out. */
function schemaOf(document: ProtocolDocument): object {
  const { $schema, ...schema } = z.toJSONSchema(document.schema, { target: 'draft-2020-12', io: 'input' });
  const titled = {
    $schema,
    $id: `urn:flotilla:protocol:v1:${document.name}`,
    title: document.title,
    description: document.about,
    ...schema,
  };
  return JSON.parse(JSON.stringify(titled).replaceAll('__schema0', 'anyJson')) as object;
}

function read(path: string): string | undefined {
  return existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : undefined;
}

function existing(path: string): string[] {
  return existsSync(join(root, path)) ? readdirSync(join(root, path)).map((name) => `${path}/${name}`) : [];
}

main(process.argv.includes('--check'));
