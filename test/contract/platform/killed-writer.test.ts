import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { JsonDocument } from '#shared/platform/atomic-file.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flotilla-killed-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Writes 1, 2, 3 … and prints each number when its write has ended. */
const writer = (path: string, from: number): string => `
  import { JsonDocument } from '#shared/platform/atomic-file.js';
  const document = new JsonDocument(${JSON.stringify(path)}, (value) => value);
  for (let count = ${String(from)}; ; count++) {
    await document.write({ count, padding: 'x'.repeat(20_000) });
    process.stdout.write(count + '\\n');
  }`;

it('a writer killed with SIGKILL again and again never loses a write that it had ended', async () => {
  const path = join(folder, 'state.json');
  const document = new JsonDocument(path, (value) => value as { count: number; padding: string });
  let last = 0;
  for (let round = 0; round < 6; round++) {
    const child = spawn(
      process.execPath,
      ['--conditions=source', '--import', 'tsx', '--input-type=module', '--eval', writer(path, last + 1)],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    let printed = '';
    const enough = 3 + round * 4;
    for await (const chunk of child.stdout) {
      printed += String(chunk);
      if (printed.split('\n').length > enough) child.kill('SIGKILL');
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    const ended = Number(printed.trimEnd().split('\n').at(-1));
    const read = await document.read();
    expect(read?.value.count).toBeGreaterThanOrEqual(ended);
    // One write may have been under way whose end was not printed any more.
    expect(read?.value.count).toBeLessThanOrEqual(ended + 1);
    expect(read?.value.padding.length).toBe(20_000);
    last = read?.value.count ?? 0;
  }
});
