/** Asks devices to hold images before they are to run them, and takes that back when its rollout is over. */
import { toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import { knowsFeature } from '#cloud/fleet/agent-features.js';
import { DeploymentRepository } from '#cloud/fleet/deployment-repository.js';
import { type Database, DeviceRepository } from '#cloud/fleet/device-repository.js';
import { PrefetchRepository } from '#cloud/fleet/prefetch-repository.js';
import type { Twin } from '#cloud/fleet/twin.js';
import type { CommitInput } from './commit.js';
import type { HistoryEntry } from './rollout-repository.js';

/** So many in one transaction; the others by the next plan. */
const atOnce = 50;

/** As a part of the transaction that carries out the step. */
export async function prefetch(
  transaction: Database,
  twin: Pick<Twin, 'issueWithin'>,
  { stored, release, plan, now }: CommitInput,
): Promise<HistoryEntry[]> {
  const { workspace, number } = stored;
  const entries: HistoryEntry[] = [];
  const wanted = (release?.modules ?? []).map(({ image }) => image.digest);
  const indexes = await indexesAmong(transaction, workspace, wanted);
  for (const device of (plan.prefetches ?? []).slice(0, atOnce)) {
    const address = { workspace, device };
    const running = await new DeploymentRepository(transaction).listCurrentOf(address);
    const choosing = indexes.size === 0 || (await knowsVariants(transaction, address));
    const lacking = wanted
      .filter((digest) => !running.some(({ image }) => image.digest === digest))
      .filter((digest) => choosing || !indexes.has(digest));
    if (!(await new PrefetchRepository(transaction).ask(address, number, lacking))) continue;
    const generation = await issueOrLeave(transaction, twin, address, number);
    if (generation === undefined) continue;
    const text = `fetches the images of ${stored.release} beforehand, generation ${String(generation)}`;
    entries.push({ at: toInstant(now), kind: 'prefetch', device, text });
  }
  return entries;
}

async function indexesAmong(
  transaction: Database,
  workspace: string,
  digests: readonly string[],
): Promise<ReadonlySet<string>> {
  if (digests.length === 0) return new Set();
  const rows = await transaction
    .selectFrom('images')
    .select('digest')
    .where('workspace', '=', workspace)
    .where('flavor', '=', 'index')
    .where('digest', 'in', digests)
    .execute();
  return new Set(rows.map(({ digest }) => digest));
}

async function knowsVariants(transaction: Database, address: DeviceAddress): Promise<boolean> {
  const device = await new DeviceRepository(transaction).find(address);
  return device !== undefined && knowsFeature(device.reportedJson, 'variants') === true;
}

/** Where the document has no room for it, the device fetches when it is asked to run them. */
async function issueOrLeave(
  transaction: Database,
  twin: Pick<Twin, 'issueWithin'>,
  address: { readonly workspace: string; readonly device: string },
  rollout: number,
): Promise<number | undefined> {
  try {
    return await twin.issueWithin(transaction, address);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'desired.too-large') throw error;
    const prefetches = new PrefetchRepository(transaction);
    await prefetches.drop(address, rollout);
    await prefetches.ask(address, rollout, []);
    return undefined;
  }
}

/** Of rollouts that are over. @returns whether the outbox has something */
export async function dropPrefetches(db: Database, twin: Pick<Twin, 'issueWithin'>): Promise<boolean> {
  let asked = false;
  for (;;) {
    const left = await new PrefetchRepository(db).leftBehind(atOnce);
    if (left.length === 0) return asked;
    await db.transaction().execute(async (transaction) => {
      for (const { workspace, device, rollout } of left) {
        const address = { workspace, device };
        if (!(await new PrefetchRepository(transaction).drop(address, rollout))) continue;
        const inService = await transaction
          .selectFrom('devices')
          .select('name')
          .where('workspace', '=', workspace)
          .where('name', '=', device)
          .where('retiredAt', 'is', null)
          .executeTakeFirst();
        if (inService === undefined) continue;
        await twin.issueWithin(transaction, address);
        asked = true;
      }
    });
  }
}
