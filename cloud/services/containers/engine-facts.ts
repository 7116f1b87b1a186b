/** What an engine's answers mean. Pure. */
import type * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import type { statsSchema, versionSchema } from './engine-answers.js';

/** What our calls need is in the oldest; the newest is the one that they were tried with. */
const oldest = '1.40';
const newest = '1.47';

export function nameOf({ Components }: Pick<z.infer<typeof versionSchema>, 'Components'>): 'docker' | 'podman' {
  return Components.some(({ Name }) => /podman/i.test(Name)) ? 'podman' : 'docker';
}

/** @throws AppError `engine.refused` where there is no version that both know */
export function apiVersionOf({
  ApiVersion,
  MinAPIVersion = oldest,
}: Pick<z.infer<typeof versionSchema>, 'ApiVersion' | 'MinAPIVersion'>): string {
  const api = compare(ApiVersion, newest) < 0 ? ApiVersion : newest;
  if (compare(api, oldest) >= 0 && compare(api, MinAPIVersion) >= 0) return api;
  throw new AppError(
    'engine.refused',
    `the container engine speaks versions ${MinAPIVersion} to ${ApiVersion} of the Docker API; ${oldest} to ${newest} are known here: use Docker Engine 19.03 or later, or podman 4 or later`,
  );
}

/** As `docker stats` counts: without pages of files that nobody has used lately. */
export function residentOf({ memory_stats: memory }: z.infer<typeof statsSchema>): number | undefined {
  const { usage, stats } = memory ?? {};
  if (usage === undefined) return undefined;
  const cache = stats?.['total_inactive_file'] ?? stats?.['inactive_file'] ?? 0;
  return Math.max(0, Math.round(usage - (cache < usage ? cache : 0)));
}

function compare(a: string, b: string): number {
  const [majorA = 0, minorA = 0] = a.split('.').map(Number);
  const [majorB = 0, minorB = 0] = b.split('.').map(Number);
  return majorA - majorB || minorA - minorB;
}
