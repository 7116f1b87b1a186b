/**
 * What somebody needs who looks into this device from elsewhere, as one archive: what it runs and waits
 * for, its checks, its settings, its logs. Nothing in it is secret: what is known to be is hidden, and so
 * is whatever looks like a key or a token.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { redact, textsIn } from '#shared/kernel/redaction.js';
import { type ArchiveFile, writeArchive } from '#shared/package/write-archive.js';
import { decodeJson } from '#shared/protocol/decode.js';
import { readTextIfPresent } from '#shared/platform/private-file.js';
import { identityDocument } from '#agent/identity/identity.js';
import { StateDocuments } from '#agent/store/state-documents.js';
import type { StateFolder } from '#agent/store/state-folder.js';
import type { NamedFinding } from './finding.js';

export interface BundleContent {
  readonly at: string;
  readonly agentVersion: string;
  /** Settings in force, as a file would say them. */
  readonly config: unknown;
  /** Absent when no agent runs. */
  readonly explanation?: unknown;
  readonly findings: readonly NamedFinding[];
}

const maxLogBytes = 512 * 1024;

/** @returns a .tar.gz */
export async function makeBundle(folder: StateFolder, content: BundleContent): Promise<Uint8Array> {
  const secrets = await secretsOf(folder);
  const clean = (text: string): Uint8Array => Buffer.from(redact(text, secrets));
  const json = (value: unknown): Uint8Array => clean(`${JSON.stringify(value, null, 2)}\n`);
  const { at, agentVersion, config, explanation, findings } = content;
  const files: ArchiveFile[] = [
    { path: 'bundle.json', bytes: json({ at, agentVersion, agentRuns: explanation !== undefined }) },
    { path: 'check.json', bytes: json(findings) },
    { path: 'config.json', bytes: json(config) },
    ...(explanation === undefined ? [] : [{ path: 'explain.json', bytes: json(explanation) }]),
  ];
  for (const name of await stateFiles(folder)) {
    files.push({ path: `state/${name}`, bytes: clean(await readFile(join(folder.root, name), 'utf8')) });
  }
  for (const name of (await readdir(folder.logs).catch((): string[] => [])).sort()) {
    const text = await readFile(join(folder.logs, name)).catch(() => Buffer.alloc(0));
    files.push({ path: `logs/${name}`, bytes: clean(text.subarray(-maxLogBytes).toString('utf8')) });
  }
  return promisify(gzip)(await writeArchive(files));
}

/** Documents that say what happened. Keys, tokens and the identity are not among them. */
async function stateFiles(folder: StateFolder): Promise<string[]> {
  const wanted = [folder.committed, folder.rejections, folder.boot, folder.trust].map((path) =>
    path.slice(folder.root.length + 1),
  );
  const there = await readdir(folder.root).catch((): string[] => []);
  return wanted.filter((name) => there.includes(name));
}

/** What may stand in a log line or a setting and must not leave: keys, tokens, values of modules' settings. */
async function secretsOf(folder: StateFolder): Promise<string[]> {
  const identity = (
    await identityDocument(folder.identity)
      .read()
      .catch(() => undefined)
  )?.value;
  const documents = new StateDocuments(folder, () => undefined);
  const committed = (await documents.committed.read().catch(() => undefined))?.value;
  const desired = (await documents.desired.read().catch(() => undefined))?.value;
  const document = desired && decodeJson(Buffer.from(desired.envelope.payload, 'base64'));
  return [
    ...secretTexts(identity ?? {}),
    (await readTextIfPresent(folder.controlToken))?.trim() ?? '',
    ...Object.values(committed?.modules ?? {}).flatMap((module) => textsIn(module.desired.settings)),
    ...(document?.ok === true ? settingsIn(document.value) : []),
  ];
}

/** The base64 lines of keys too: a log may have them without their frame. */
function secretTexts(identity: object): string[] {
  return Object.entries(identity)
    .filter(([name]) => /key$|secret/i.test(name))
    .flatMap(([, value]) => textsIn(value))
    .flatMap((text: string) => [text, ...text.split('\n').filter((line) => line !== '' && !line.startsWith('-----'))]);
}

/** Values below any `settings`, wherever it stands. */
function settingsIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => (name === 'settings' ? textsIn(inner) : settingsIn(inner)));
}
