// What every archive has beside the programs: who it is, what it holds, how it is started and installed.
import { createHash } from 'node:crypto';
import { type ReleaseFacts, releaseFile, sumsFile } from '#shared/platform/installation/release-files.js';
import { addText, type FileSet } from './file-set.js';

/** Starts a program of the archive with the Node that lies beside it, through whatever links it was called. */
export function launcher(entry: string, before = ''): string {
  return `#!/bin/sh
set -eu
here=$(dirname "$(readlink -f "$0")")
${before}exec "$here/../runtime/node" "$here/../${entry}" "$@"
`;
}

/** @param command of the archive, and what comes before `install` and `uninstall`, for example `cloud ` */
export function addInstallers(files: FileSet, command: string, above = ''): void {
  for (const word of ['install', 'uninstall']) {
    const script = `#!/bin/sh\nexec "$(dirname "$(readlink -f "$0")")/bin/${command}" ${above}${word} "$@"\n`;
    addText(files, `${word}.sh`, script, true);
  }
}

/** Last, as it names all the others. */
export function sealRelease(files: FileSet, facts: Omit<ReleaseFacts, 'schema'>): void {
  addText(files, releaseFile, `${JSON.stringify({ schema: 1, ...facts }, null, 2)}\n`);
  const lines = [...files]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, { bytes }]) => `${createHash('sha256').update(bytes()).digest('hex')}  ${path}\n`);
  addText(files, sumsFile, lines.join(''));
}
