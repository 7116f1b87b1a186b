/**
 * Which blobs a device may fetch: those of the images in its current desired document, and no other.
 * The generation is read at every request, so a change counts at once; the rest is cached.
 */
import { mediaTypes } from '#shared/package/media-types.js';
import type { ImageReference } from '#shared/protocol/desired.js';
import { clientIdOf, type DeviceAddress } from '#shared/protocol/topics.js';
import { imagesOf } from '#cloud/fleet/desired-document.js';
import { openStoredDesired } from '#cloud/fleet/desired-envelope.js';
import type { DeploymentRepository } from '#cloud/fleet/deployment-repository.js';
import type { DeviceRepository } from '#cloud/fleet/device-repository.js';

export interface Allowance {
  mayFetch(digest: string): boolean;
  mayFetchChunksOf(mapDigest: string): boolean;
}

interface ImageBlobs {
  readonly all: ReadonlySet<string>;
  readonly chunkMaps: ReadonlySet<string>;
}

interface DeviceEntry {
  readonly generation: number;
  readonly allowance: Allowance;
}

const maxDevices = 20_000;
const maxImages = 2_000;

export class BlockAllowance {
  private readonly devicesSeen = new Map<string, DeviceEntry>();
  private readonly images = new Map<string, ImageBlobs>();

  constructor(
    private readonly devices: Pick<DeviceRepository, 'findDesired'>,
    private readonly deployments: Pick<DeploymentRepository, 'listImageBlobs'>,
  ) {}

  async of(address: DeviceAddress): Promise<Allowance> {
    const desired = await this.devices.findDesired(address);
    if (!desired?.envelope) return nothing;
    const key = clientIdOf(address);
    const known = this.devicesSeen.get(key);
    if (known?.generation === desired.generation) return known.allowance;

    const images: ImageBlobs[] = [];
    for (const image of imagesOf(openStoredDesired(desired.envelope))) {
      images.push(await this.blobsOf(address.workspace, image));
    }
    const allowance: Allowance = {
      mayFetch: (digest) => images.some(({ all }) => all.has(digest)),
      mayFetchChunksOf: (digest) => images.some(({ chunkMaps }) => chunkMaps.has(digest)),
    };
    keep(this.devicesSeen, key, { generation: desired.generation, allowance }, maxDevices);
    return allowance;
  }

  /** By signature too: a further publisher's signature is a further blob of the same image. */
  private async blobsOf(workspace: string, { digest: imageDigest, signature }: ImageReference): Promise<ImageBlobs> {
    const key = `${workspace}/${imageDigest}/${signature.digest}`;
    const known = this.images.get(key);
    if (known) return known;
    const rows = await this.deployments.listImageBlobs(workspace, imageDigest);
    const blobs = {
      all: new Set(rows.map(({ digest }) => digest)),
      chunkMaps: new Set(rows.filter(({ mediaType }) => mediaType === mediaTypes.chunkMap).map(({ digest }) => digest)),
    };
    if (rows.length > 0) keep(this.images, key, blobs, maxImages);
    return blobs;
  }
}

const nothing: Allowance = { mayFetch: () => false, mayFetchChunksOf: () => false };

/** Oldest first out: an entry costs one query to make again. */
function keep<T>(map: Map<string, T>, key: string, value: T, capacity: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= capacity) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
