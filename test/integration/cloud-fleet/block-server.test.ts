import { writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type BlockFrame,
  type BlockSource,
  decodeFrame,
  maxChunkBytes,
  maxUnacknowledgedBytes,
} from '#shared/protocol/blocks.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import { restartPolicySchema } from '#shared/protocol/desired.js';
import { Metrics } from '#cloud/http/metrics.js';
import { BlockAllowance } from '#cloud/mqtt/block-allowance.js';
import { BlockServer } from '#cloud/mqtt/block-server.js';
import {
  addressOf,
  bytesOf,
  eventually,
  FleetWorld,
  RecordingBroker,
  silent,
  type TestImage,
} from '#test/support/fleet-world.js';

const policy = restartPolicySchema.parse({});
const d = addressOf('d');

describe('the block server', () => {
  let world: FleetWorld;
  let broker: RecordingBroker;
  let server: BlockServer;
  let image: TestImage;
  const layer = bytesOf(maxChunkBytes * 20 + 5, 7);

  beforeEach(async () => {
    world = await FleetWorld.open();
    broker = new RecordingBroker();
    await world.enrol('d');
    image = await world.addImage('digits', 1, [layer]);
    await world.twin.deploy(d, 'digits', { image: 'digits:1', settings: {}, policy });
    const allowance = new BlockAllowance(world.devices, world.deployments);
    const metrics = new Metrics();
    server = new BlockServer({
      broker,
      storage: world.store,
      allowanceOf: (address) => allowance.of(address),
      logger: silent,
      ignored: metrics.counter('a', 'a'),
      served: metrics.counter('b', 'b'),
    });
  });
  afterEach(() => world.close());

  let requests = 0;
  const ask = async (
    source: BlockSource,
    indexes: number[],
    flow: { session?: number; acknowledged?: number } = {},
    address = d,
  ): Promise<BlockFrame[]> => {
    const request = ++requests;
    server.take(
      address,
      Buffer.from(encodeMessage({ schema: 1, request, session: 1, acknowledged: 0, source, indexes, ...flow })),
    );
    await server.idle();
    return broker.published
      .filter(({ topic }) => topic === `flotilla/v1/${address.workspace}/${address.device}/blocks/data`)
      .map(({ payload }) => decodeFrame(payload))
      .map((decoded) => {
        if (!decoded.ok) throw new Error(decoded.error);
        return decoded.value;
      })
      .filter((frame) => frame.request === request)
      .sort((a, b) => a.index - b.index);
  };
  const statuses = (frames: BlockFrame[]): string[] => frames.map(({ status }) => status);
  const chunks = (): BlockSource => ({ kind: 'chunks', map: image.map });

  it('serves the chunks of an image that is desired, each where it stands', async () => {
    const frames = [
      ...(await ask(chunks(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], { session: 1 })),
      ...(await ask(chunks(), [10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20], { session: 2 })),
    ];
    expect(new Set(statuses(frames))).toEqual(new Set(['ok']));
    const whole = Buffer.alloc(layer.length);
    for (const { offset, bytes } of frames) whole.set(bytes, offset);
    expect(whole.equals(layer)).toBe(true);
  });

  it('serves small blobs whole with their size', async () => {
    const manifest = image.blobs.find(({ digest }) => digest === image.digest);
    const [frame] = await ask({ kind: 'blob', digest: image.digest }, [0]);
    expect(frame).toMatchObject({ status: 'ok', offset: 0, total: manifest?.bytes.length });
    expect(Buffer.from(frame?.bytes ?? []).equals(manifest?.bytes ?? Buffer.alloc(0))).toBe(true);
  });

  it('says when an index is outside', async () => {
    expect(statuses(await ask(chunks(), [21]))).toEqual(['outOfRange']);
    expect(statuses(await ask({ kind: 'blob', digest: image.digest }, [1]))).toEqual(['outOfRange']);
  });

  it('gives a device nothing that its desired document does not name', async () => {
    const other = await world.addImage('other', 1, [bytesOf(100, 8)]);
    const theirs = await world.addImage('theirs', 1, [bytesOf(100, 9)], 'other');
    for (const foreign of [other, theirs]) {
      expect(statuses(await ask({ kind: 'blob', digest: foreign.digest }, [0]))).toEqual(['notFound']);
      expect(statuses(await ask({ kind: 'chunks', map: foreign.map }, [0]))).toEqual(['notFound']);
    }
    await world.enrol('e');
    expect(statuses(await ask(chunks(), [0], {}, addressOf('e')))).toEqual(['notFound']);
  });

  it('does not read through a chunk map what belongs to another image', async () => {
    const secret = await world.addImage('secret', 1, [bytesOf(100, 10)]);
    // The map of `secret` passed off as a map of `digits`: its chunks are still not this device's.
    await world.control
      .updateTable('imageBlobs')
      .set({ digest: secret.map })
      .where('imageDigest', '=', image.digest)
      .where('digest', '=', image.map)
      .execute();
    expect(statuses(await ask({ kind: 'chunks', map: secret.map }, [0]))).toEqual(['notFound']);
  });

  it('follows the desired document at once', async () => {
    expect(statuses(await ask(chunks(), [0]))).toEqual(['ok']);
    await world.twin.undeploy(d, 'digits');
    expect(statuses(await ask(chunks(), [0], { session: 2 }))).toEqual(['notFound']);
    await world.twin.deploy(d, 'digits', { image: 'digits:1', settings: {}, policy });
    expect(statuses(await ask(chunks(), [0], { session: 3 }))).toEqual(['ok']);
    await world.twin.retire(d);
    expect(statuses(await ask(chunks(), [0], { session: 4 }))).toEqual(['notFound']);
  });

  it('stops at 4 MiB unacknowledged and goes on as they are acknowledged', async () => {
    const most = maxUnacknowledgedBytes / maxChunkBytes;
    const frames = await ask(
      chunks(),
      Array.from({ length: most + 2 }, (_, n) => n),
    );
    expect(statuses(frames).filter((status) => status === 'ok')).toHaveLength(most);
    expect(statuses(frames).slice(most)).toEqual(['busy', 'busy']);
    expect(statuses(await ask(chunks(), [most]))).toEqual(['busy']);
    expect(statuses(await ask(chunks(), [most, most + 1], { acknowledged: maxChunkBytes }))).toEqual(['ok', 'busy']);
    expect(statuses(await ask(chunks(), [0], { session: 9 }))).toEqual(['ok']);
  });

  it('says that the disk lies rather than sending bytes that are not the image’s', async () => {
    const damaged = Buffer.from(layer);
    damaged[maxChunkBytes * 3] = (damaged[maxChunkBytes * 3] ?? 0) ^ 1;
    await writeFile(world.store.pathOf(image.blobs[0]?.digest ?? ''), damaged);
    expect(statuses(await ask(chunks(), [2, 3, 4]))).toEqual(['ok', 'corrupt', 'ok']);
    await writeFile(world.store.pathOf(image.blobs[0]?.digest ?? ''), layer.subarray(0, maxChunkBytes));
    expect(statuses(await ask(chunks(), [0, 4]))).toEqual(['ok', 'corrupt']);
    // Uploaded again, the blob is served again at once, though the damaged file was open.
    await world.store.put([layer] as unknown as AsyncIterable<Uint8Array>, { maxBytes: 2 ** 30 });
    expect(statuses(await ask(chunks(), [3, 4], { session: 2 }))).toEqual(['ok', 'ok']);
  });

  it('answers every request however they overlap with the answers to others', async () => {
    let asked = 0;
    for (let round = 0; round < 40; round++) {
      for (let n = 0; n < 3; n++, asked++) {
        const message = {
          schema: 1,
          request: 1_000_000 + asked,
          session: 1_000 + asked,
          acknowledged: 0,
          source: chunks(),
          indexes: [asked % 21],
        };
        server.take(d, Buffer.from(encodeMessage(message)));
        await new Promise((resolve) => setTimeout(resolve, round % 4));
      }
    }
    // Nothing further comes that could wake what was forgotten.
    await eventually('all were answered', () => broker.published.length === asked);
  });

  it('drops what is no request', async () => {
    for (const junk of ['', '{}', 'null', '{"schema":1,"request":-1}', '\u0000']) server.take(d, Buffer.from(junk));
    await server.idle();
    expect(broker.published).toEqual([]);
  });
});
