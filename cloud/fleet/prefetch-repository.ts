/** Images that devices are to hold before they are asked to run them, by the rollout that wants it. */
import type { DeviceAddress } from '#shared/protocol/topics.js';
import { variantsOf } from '#cloud/store/image-variants.js';
import type { PrefetchedImage } from './desired-document.js';
import type { Database } from './device-repository.js';

/** Where a device has all of them already: it was asked, and there is nothing to fetch. */
const nothing = '';
/** A desired document takes no more. */
const mostImages = 64;

export class PrefetchRepository {
  constructor(private readonly db: Database) {}

  /** What a device is to hold beside the images of its modules. */
  async of({ workspace, device }: DeviceAddress): Promise<PrefetchedImage[]> {
    const images = await this.db
      .selectFrom('rolloutPrefetches')
      .innerJoin('images', (join) =>
        join
          .onRef('images.workspace', '=', 'rolloutPrefetches.workspace')
          .onRef('images.digest', '=', 'rolloutPrefetches.digest'),
      )
      .select(['images.name', 'images.version', 'images.digest', 'images.flavor'])
      .select(['images.manifestSize', 'images.signatureDigest', 'images.signatureSize'])
      .where('rolloutPrefetches.workspace', '=', workspace)
      .where('rolloutPrefetches.device', '=', device)
      .where('images.deletedAt', 'is', null)
      .distinct()
      .orderBy('images.digest')
      .limit(mostImages)
      .execute();
    return Promise.all(
      images.map(async ({ flavor, ...image }) =>
        flavor === 'index' ? { ...image, variants: await variantsOf(this.db, workspace, image.digest) } : image,
      ),
    );
  }

  /** @param digests those that it does not run already. @returns whether there is anything to fetch */
  async ask({ workspace, device }: DeviceAddress, rollout: number, digests: readonly string[]): Promise<boolean> {
    const wanted = digests.length === 0 ? [nothing] : [...new Set(digests)];
    await this.db
      .insertInto('rolloutPrefetches')
      .values(wanted.map((digest) => ({ workspace, rollout, device, digest })))
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    return digests.length > 0;
  }

  /** @returns whether its document says so no more */
  async drop({ workspace, device }: DeviceAddress, rollout: number): Promise<boolean> {
    const dropped = await this.db
      .deleteFrom('rolloutPrefetches')
      .where('workspace', '=', workspace)
      .where('device', '=', device)
      .where('rollout', '=', rollout)
      .returning('digest')
      .execute();
    return dropped.some(({ digest }) => digest !== nothing);
  }

  /** By device of one rollout: what it was asked to hold, of which it may have all. */
  async asked(workspace: string, rollout: number): Promise<ReadonlyMap<string, readonly string[]>> {
    const rows = await this.db
      .selectFrom('rolloutPrefetches')
      .select(['device', 'digest'])
      .where('workspace', '=', workspace)
      .where('rollout', '=', rollout)
      .execute();
    const asked = new Map<string, string[]>();
    for (const { device, digest } of rows) {
      asked.set(device, [...(asked.get(device) ?? []), ...(digest === nothing ? [] : [digest])]);
    }
    return asked;
  }

  /** Devices of rollouts that are over. */
  async leftBehind(limit: number): Promise<(DeviceAddress & { readonly rollout: number })[]> {
    return this.db
      .selectFrom('rolloutPrefetches as p')
      .innerJoin('rollouts as o', (join) =>
        join.onRef('o.workspace', '=', 'p.workspace').onRef('o.number', '=', 'p.rollout'),
      )
      .select(['p.workspace', 'p.device', 'p.rollout'])
      .distinct()
      .where('o.endedAt', 'is not', null)
      .limit(limit)
      .execute();
  }
}
