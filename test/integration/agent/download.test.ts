import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestFile } from '#shared/package/digest.js';
import { maxUnacknowledgedBytes } from '#shared/protocol/blocks.js';
import { removeFolder } from '#test/support/agent/agent-harness.js';
import { linkDevice, type LinkedDevice } from '#test/support/agent/device-link.js';
import { FakeCloud, until } from '#test/support/agent/fake-cloud.js';
import { plainImage, plainModule } from '#test/support/agent/plain-image.js';

describe('the download of an image over MQTT', () => {
  let cloud: FakeCloud;
  let device: LinkedDevice;
  let folder: string;
  const weights = randomBytes(6_000_001);

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fd-'));
    cloud = await FakeCloud.start();
    device = await linkDevice(cloud, join(folder, 'device'));
  });
  afterEach(async () => {
    await device.close();
    await cloud.close();
    await removeFolder(folder);
  });

  const publish = async (...parts: Uint8Array[]) => {
    const made = await plainImage(folder, parts, cloud.publisher);
    cloud.layouts.push(made.layout);
    return made;
  };
  const expectComplete = async (manifest: { layers: { digest: string; size: number }[] }): Promise<void> => {
    for (const { digest, size } of manifest.layers) {
      expect(await digestFile(device.images.blobs.pathOf(digest))).toEqual({ digest, size });
    }
  };

  it('brings every blob, once, within the window', async () => {
    const { image, manifest } = await publish(weights, randomBytes(10), new Uint8Array());
    const progress = await device.download(image);
    await expectComplete(manifest);
    expect(progress).toMatchObject({ bytesFetched: progress.bytesTotal, bytesResumed: 0, bytesReused: 0 });
    expect(cloud.bytesServed).toBe(progress.bytesTotal);
    const asked = await device.download(image);
    expect(asked.bytesFetched).toBe(0);
  });

  it('of two images at once that share a blob brings it once, and both are whole', async () => {
    const [one, other] = [await publish(weights, randomBytes(300_000)), await publish(weights, randomBytes(300_000))];
    await Promise.all([device.download(one.image), device.download(other.image)]);
    await expectComplete(one.manifest);
    await expectComplete(other.manifest);
    expect(cloud.bytesServed).toBeLessThan(weights.length + 1_000_000);
  });

  it('survives lost, doubled and reordered frames', async () => {
    let held: Parameters<typeof cloud.frameFate>[0] | undefined;
    cloud.frameFate = (frame, count) => {
      if (count % 5 === 0) return [];
      if (count % 7 === 0) return [frame, frame];
      if (count % 3 === 0) {
        const before = held;
        held = frame;
        return before === undefined ? [] : [before];
      }
      return [frame];
    };
    const { image, manifest } = await publish(weights);
    await device.download(image);
    await expectComplete(manifest);
  });

  it('asks again for a chunk that came damaged, and gives up one that always does', async () => {
    const damage = (frame: Parameters<typeof cloud.frameFate>[0]) => {
      const bytes = Uint8Array.from(frame.bytes);
      bytes[0] = (bytes[0] ?? 0) ^ 1;
      return [{ ...frame, bytes }];
    };
    let once = true;
    cloud.frameFate = (frame) => {
      if (frame.index !== 3 || !once) return [frame];
      once = false;
      return damage(frame);
    };
    const { image, manifest } = await publish(weights);
    await device.download(image);
    await expectComplete(manifest);
    expect(once).toBe(false);

    const other = await publish(randomBytes(2_000_000));
    cloud.frameFate = (frame) => (frame.index === 3 ? damage(frame) : [frame]);
    await expect(device.download(other.image)).rejects.toMatchObject({ code: 'blob.digest-mismatch' });
  });

  it('goes on after a restart of the device with at most one window fetched twice', async () => {
    const { image, manifest } = await publish(weights);
    const controller = new AbortController();
    // The second half is held back, so that the cut is in the middle however fast the machine is.
    cloud.frameFate = (frame) => (frame.offset < 3_500_000 ? [frame] : []);
    const cut = device.download(image, { signal: controller.signal }).catch((error: unknown) => error);
    await until('half of it', () => (device.progress()?.bytesFetched ?? 0) > 3_000_000);
    controller.abort();
    await cut;
    cloud.frameFate = (frame) => [frame];
    await device.close();
    device = await linkDevice(cloud, join(folder, 'device'));
    const progress = await device.download(image);
    await expectComplete(manifest);
    expect(progress.bytesResumed).toBeGreaterThan(2_500_000);
    const total = manifest.layers.reduce((sum, { size }) => sum + size, 0);
    expect(cloud.bytesServed - total).toBeLessThan(maxUnacknowledgedBytes);
  });

  it('goes on when the control plane was away in the middle', async () => {
    const { image, manifest } = await publish(weights);
    const done = device.download(image);
    await until('a part of it', () => (device.progress()?.bytesFetched ?? 0) > 1_000_000);
    await cloud.close();
    await cloud.listen();
    await done;
    await expectComplete(manifest);
  });

  it('takes chunks of another image on the disk instead of fetching them', async () => {
    const { image } = await publish(weights);
    await device.download(image);
    const next = Buffer.from(weights);
    next[5_900_000] = (next[5_900_000] ?? 0) ^ 1;
    const second = await publish(next);
    const progress = await device.download(second.image, { neighbours: [image.digest] });
    await expectComplete(second.manifest);
    expect(progress.bytesReused).toBeGreaterThan(5_000_000);
    expect(progress.bytesFetched).toBeLessThan(300_000);
  });

  it('fetches equal chunks once', async () => {
    const { image, manifest } = await publish(new Uint8Array(4 * 256 * 1024));
    const progress = await device.download(image);
    await expectComplete(manifest);
    expect(progress.bytesFetched).toBeLessThan(300_000);
  });

  it('does not begin without room on the disk, and says how much is needed', async () => {
    const { image } = await publish(weights);
    await expect(device.download(image, { freeBytes: 1_000_000 })).rejects.toMatchObject({
      code: 'disk.full',
      details: { freeBytes: 1_000_000, neededBytes: 6_000_003 + plainModule.length },
    });
  });

  it('keeps nothing of an image that the publisher did not sign', async () => {
    const { layout, image } = await plainImage(folder, [weights], cloud.director);
    cloud.layouts.push(layout);
    await expect(device.download(image)).rejects.toMatchObject({ code: 'signature.unknown-key' });
    expect(await device.images.blobs.has(image.digest)).toBe(false);
    expect(cloud.bytesServed).toBe(image.signature.size);
  });

  it.each(['../../planted', '/planted', 'models/../../../planted', 'module.yaml'])(
    'takes no layer of a signed image that would lie at %s',
    async (path) => {
      const { layout, image } = await plainImage(folder, [weights], cloud.publisher, () => path);
      cloud.layouts.push(layout);
      await expect(device.download(image)).rejects.toMatchObject({ code: 'image.invalid' });
      expect(cloud.bytesServed).toBe(image.signature.size + image.size);
      await expect(device.images.stage(image.digest)).rejects.toMatchObject({ code: 'blob.digest-mismatch' });
    },
  );

  it('reports what the control plane does not have', async () => {
    const { image } = await plainImage(folder, [weights], cloud.publisher);
    await expect(device.download(image)).rejects.toMatchObject({ code: 'blob.not-found' });
  });

  it('removes a blob that was damaged on disk when it is staged, and mends a damaged partial file', async () => {
    const { image, manifest } = await publish(weights);
    await device.download(image);
    const digest = manifest.layers[1]?.digest ?? '';
    const path = device.images.blobs.pathOf(digest);
    const bytes = await readFile(path);
    bytes[1234] = (bytes[1234] ?? 0) ^ 1;
    await writeFile(device.images.blobs.partialPathOf(digest), bytes);
    await writeFile(path, bytes);
    await expect(device.images.stage(image.digest)).rejects.toMatchObject({ code: 'blob.digest-mismatch' });
    expect(await device.images.blobs.has(digest)).toBe(false);
    await truncate(device.images.blobs.partialPathOf(digest), 5_900_000);
    const progress = await device.download(image);
    await expectComplete(manifest);
    expect(progress.bytesResumed).toBeGreaterThan(5_000_000);
  });
});
