import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { moduleManifestSchema } from '#shared/package/module-manifest.js';
import { HostSet } from '#shared/supervisor/host-set.js';
import type { ServedModule } from '#shared/supervisor/served-module.js';
import { exampleOf } from '#test/support/examples.js';
import { Scoring, scoringHostEntry, scriptHostEntry } from '#test/support/scoring-harness.js';

const scoring = new Scoring();
afterEach(() => scoring.end());

it('starts scripts after those that they name answer, and ends them in reverse', async () => {
  const folder = await scoring.folder();
  const record = join(folder, 'record.txt');
  const script = async (name: string, startAfter: readonly string[], initMs: number): Promise<ServedModule> => {
    const own = await scoring.folder();
    await writeFile(
      join(own, 'score.mjs'),
      `import { appendFileSync } from 'node:fs';
       const note = (what) => appendFileSync(${JSON.stringify(record)}, '${name} ' + what + '\\n');
       export async function init() {
         await new Promise((resolve) => setTimeout(resolve, ${String(initMs)}));
         note('answers');
         process.on('exit', () => note('ended'));
       }
       export const run = (input) => input;`,
    );
    const { golden: _none, ...example } = exampleOf('module-manifest') as Record<string, unknown>;
    const parsed = moduleManifestSchema.parse({ ...example, ...{ name, flavor: 'node', entry: 'score.mjs' } });
    const manifest = { ...parsed, models: [] };
    const digest = `sha256:${'0'.repeat(64)}` as const;
    return { id: name, name, version: 1, digest, folder: own, manifest, settings: {}, startAfter };
  };
  const modules = [await script('detector', ['tracker'], 0), await script('tracker', [], 100)];
  let ids = 0;
  const set = new HostSet(modules, new Map(), {
    ...{ entry: scriptHostEntry, hostEntry: scoringHostEntry, runFolder: folder, cores: 1, maxBodyBytes: 1000 },
    ...{ onLog: () => undefined, onHostLog: () => undefined, onExit: () => undefined },
    nextId: () => ++ids,
  });
  expect(await set.load({ labels: {}, maxBodyBytes: 1000 })).toEqual({ ok: true, value: undefined });
  await set.drain(5000, new Set());
  expect(await readFile(record, 'utf8')).toBe('tracker answers\ndetector answers\ndetector ended\ntracker ended\n');
});
