/** What gathered in an hour without the control plane, at ten batches a second, and what it costs to get it across. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { spoolFilePath } from '#agent/telemetry/spool-folder.js';
import { encodeBatchLine } from '#agent/telemetry/spool-lines.js';
import { StreamSender } from '#agent/telemetry/stream-sender.js';
import { TelemetryRepository } from '#cloud/telemetry/telemetry-repository.js';
import { systemClock } from '#shared/kernel/clock.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import { emptySketch, encodeSketch } from '#shared/protocol/sketch.js';
import { openSpool } from '#test/support/agent/open-spool.js';

const hourAtTenASecond = 36_000;
const perFile = 400;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flotilla-drain-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const metrics = {
  digest: `sha256:${'0'.repeat(64)}`,
  version: 1,
  requests: 1,
  errors: {},
  latencyMs: encodeSketch(emptySketch()),
};
const at = '2026-01-01T00:00:00.000Z';

/** As the agent of boot 1 would have left it; written at once, since a sync a batch is what the hour was for. */
async function leaveAnHour(spool: string): Promise<void> {
  await mkdir(spool);
  for (let first = 1; first <= hourAtTenASecond; first += perFile) {
    const lines = Array.from({ length: perFile }, (_, index) => {
      const head = { schema: 1, bootId: 1, sequence: first + index };
      const batch = { ...head, at, intervalMs: 100, generation: 1, modules: { digits: metrics } };
      return encodeBatchLine('batch', head.sequence, 0, batch);
    });
    await writeFile(spoolFilePath(spool, { bootId: 1, sequence: first }, 'batches'), Buffer.concat(lines));
  }
}

describe('an hour of telemetry at ten batches a second', () => {
  it('fits the room of a default device, drains once and in order, and lets every other message through', async () => {
    const path = join(folder, 'spool');
    await leaveAnHour(path);
    const spool = await openSpool({ folder: path, bootId: 2, maxBytes: 48 * 1024 * 1024 });
    expect(spool.size.batches).toBe(hourAtTenASecond);
    expect(spool.size.bytes).toBeLessThan(48 * 1024 * 1024);

    const store = await TelemetryRepository.open(join(folder, 'telemetry.db'));
    const address = { workspace: 'w', device: 'd' };
    let waiting: Uint8Array[] = [];
    let [finish, fail]: [() => void, (error: unknown) => void] = [() => undefined, () => undefined];
    const done = new Promise<void>((resolve, reject) => {
      [finish, fail] = [resolve, reject];
    });
    /** How many batches went before each control message that came meanwhile. */
    const waited: number[] = [];
    const sender = new StreamSender(spool, {
      clock: systemClock,
      onError: (error) => fail(error),
      publish: async (message) => {
        waiting.push(encodeMessage(message));
        if (waiting.length === 1) setImmediate(() => void commit().catch(fail));
        return true;
      },
    });
    const commit = async (): Promise<void> => {
      const payloads = waiting;
      waiting = [];
      const { acks, counts } = await store.ingest(
        payloads.map((payload) => ({ ...address, kind: 'telemetry' as const, receivedAt: 1, payload })),
      );
      expect(counts).toMatchObject({ duplicate: 0, gap: 0, malformed: 0, dropped: 0 });
      // What a desired document or a command needs: a turn of the loop.
      const left = spool.size.batches;
      setImmediate(() => waited.push(left - spool.size.batches));
      for (const { ack } of acks) await sender.acknowledged(ack.bootId, ack.upTo);
      if (spool.size.batches === 0) finish();
    };
    sender.linkChanged(true);
    await done;
    await sender.stop();

    const { batches, dropped } = await store.telemetry({ ...address, fromMs: 0 });
    expect({ batches, dropped }).toEqual({ batches: hourAtTenASecond, dropped: 0 });
    // None waited for more than a window of batches, and they came all the while.
    expect(Math.max(...waited)).toBeLessThanOrEqual(16);
    expect(waited.length).toBeGreaterThan(hourAtTenASecond / 100);
    await store.close();
  });
});
