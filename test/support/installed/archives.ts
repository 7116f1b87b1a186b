/** The archives that `npm run build:device` and `build:cloud` made. They take a while, and npm's registry: .ci/run makes them. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { agentVersion } from '#agent/version.js';
import { repository } from '../repository.js';

export type InstallableName = 'flotilla-agent' | 'flotilla';

export function archivePath(name: InstallableName, platform: string): string {
  return join(repository, 'dist/installables', `${name}-${agentVersion}-${platform}.tar.gz`);
}

/** Unpacks an archive below a folder. @returns the name of the one folder in it */
export function unpack(archive: string, folder: string): string {
  execFileSync('tar', ['-xzf', archive, '-C', folder]);
  return basename(archive, '.tar.gz');
}

export const debianPackage = join(repository, 'dist/installables', `flotilla-agent_${agentVersion}_amd64.deb`);

/** For `describe.skipIf(!hasArchives(…))`. Throws under CI when one is missing. */
export function hasArchives(...paths: readonly string[]): boolean {
  const missing = paths.filter((path) => !existsSync(path));
  if (missing.length === 0) return true;
  const what = `${missing.join(', ')} is not built: npm run build:device -- --deb, npm run build:cloud`;
  if (process.env['CI']) throw new Error(`${what}; under CI every check runs (.ci/run builds it)`);
  console.warn(`skipped: ${what}`);
  return false;
}
