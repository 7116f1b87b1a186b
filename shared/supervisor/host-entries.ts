/**
 * Where the programs of the scoring host and the script host lie, seen from the program that starts them:
 * below it in the agent's bundle, or in the build, whose files may be asked from the sources in development.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { AppError } from '#shared/kernel/errors.js';

export interface HostEntries {
  readonly scoringHost: string;
  readonly scriptHost: string;
  readonly providerCheck: string;
}

/** @param from the URL of a file in `agent/`, `cloud/`, a folder of these in the build, or the bundle's folder */
export function findHostEntries(from: string): HostEntries {
  return {
    scoringHost: firstThere(from, [
      './scoring/host/main.js',
      '../shared/scoring/host/main.js',
      '../dist/shared/scoring/host/main.js',
    ]),
    scriptHost: firstThere(from, [
      './scoring/script-host/main.js',
      '../shared/scoring/script-host/main.js',
      '../dist/shared/scoring/script-host/main.js',
    ]),
    providerCheck: firstThere(from, [
      './scoring/provider-check/main.js',
      '../shared/scoring/provider-check/main.js',
      '../dist/shared/scoring/provider-check/main.js',
    ]),
  };
}

function firstThere(from: string, candidates: readonly string[]): string {
  const paths = candidates.map((candidate) => fileURLToPath(new URL(candidate, from)));
  const found = paths.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new AppError(
    'process.failed',
    `the scoring host's program is missing (looked for ${paths.join(', ')}): build first`,
  );
}
