/** A release like an unpacked archive, of a few bytes. */
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** @returns URL of the program in it */
export async function smallRelease(folder: string, version: string): Promise<string> {
  const facts = { schema: 1, name: 'flotilla-agent', version, platform: 'linux-x64', node: '24.0.0' };
  const files: readonly [string, string, number][] = [
    ['release.json', JSON.stringify(facts), 0o644],
    ['app/main.js', `console.log('${version}')`, 0o644],
    ['bin/flotilla-agent', '#!/bin/sh\n', 0o755],
  ];
  const sums: string[] = [];
  for (const [path, text, mode] of files) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text, { mode });
    sums.push(`${createHash('sha256').update(text).digest('hex')}  ${path}\n`);
  }
  await writeFile(join(folder, 'SHA256SUMS'), sums.join(''));
  return pathToFileURL(join(folder, 'app/main.js')).href;
}
