/** What a file of releases and rollouts would change, beside what there is. Asks, and changes nothing. */
import { formatReference } from '#shared/kernel/names.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { routes } from '#cloud/client/routes.js';
import type { ReleaseBody, ReleaseContents } from '#cloud/http/schemas/releases.js';
import type { RolloutBody } from '#cloud/http/schemas/rollouts.js';
import { type Difference, releaseDifferences } from './release-text.js';
import type { RolloutOrder } from './rollout-file.js';

/** How far back the newest rollout of a fleet is looked for. */
const lookedAt = 1000;

export interface ReleaseState {
  readonly newest: ReleaseBody | undefined;
  /** From the newest to what the file says; of a new release none. */
  readonly differences: readonly Difference[];
  readonly isSame: boolean;
}

export async function releaseState(client: FlotillaClient, contents: ReleaseContents): Promise<ReleaseState> {
  const [newest] = await client.list(routes.releaseList, { query: { name: contents.name } }, 1);
  if (newest === undefined) return { newest, differences: [], isSame: false };
  const modules: ReleaseBody['modules'] = {};
  for (const [module, { image: reference, variants: _others, ...rest }] of Object.entries(contents.modules)) {
    const { name, version, digest } = await client.call(routes.imageGet, { params: { reference } });
    modules[module] = { ...rest, image: { name, version, digest } };
  }
  const differences = releaseDifferences(newest, { ...newest, ...contents, modules });
  return { newest, differences, isSame: differences.length === 0 };
}

/** The version that the name means now; a reference as it is. Undefined: there is none. */
export async function releaseMeant(client: FlotillaClient, release: string): Promise<string | undefined> {
  if (release.includes(':')) return release;
  const [newest] = await client.list(routes.releaseList, { query: { name: release } }, 1);
  return newest === undefined ? undefined : formatReference(newest);
}

/** The newest rollout over the fleet, where it is of this release with this policy. */
export async function sameRollout(
  client: FlotillaClient,
  { fleet, policy }: RolloutOrder,
  release: string,
): Promise<RolloutBody | undefined> {
  const found = await client.list(routes.rolloutList, {}, lookedAt);
  const newest = found.find((one) => one.fleet === fleet);
  if (newest === undefined || newest.release !== release) return undefined;
  return canonicalJson(newest.policy) === canonicalJson(policy) ? newest : undefined;
}
