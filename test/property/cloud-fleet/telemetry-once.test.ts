import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeMessage } from '#shared/protocol/decode.js';
import { addToSketch, emptySketch, encodeSketch } from '#shared/protocol/sketch.js';
import type { StreamKind } from '#shared/protocol/stream.js';
import type { ReceivedBatch } from '#cloud/telemetry/telemetry-port.js';
import { TelemetryRepository } from '#cloud/telemetry/telemetry-repository.js';

const at = '2026-01-01T00:00:00.000Z';
const latency = emptySketch();
addToSketch(latency, 2);

function batchOf(kind: StreamKind, bootId: number, sequence: number, droppedFrom?: number): ReceivedBatch {
  const head = { schema: 1, bootId, sequence, at, ...(droppedFrom === undefined ? {} : { droppedFrom }) };
  const message =
    kind === 'events'
      ? { ...head, events: [{ at, level: 'info', type: 'x', message: `${String(bootId)}.${String(sequence)}` }] }
      : {
          ...head,
          intervalMs: 1000,
          generation: 1,
          modules: {
            digits: {
              digest: `sha256:${'0'.repeat(64)}`,
              version: 1,
              requests: 1,
              errors: { 'score.failed': 1 },
              latencyMs: encodeSketch(latency),
            },
          },
        };
  return { workspace: 'w', device: 'd', kind, receivedAt: 1000, payload: encodeMessage(message) };
}

/** A device with a spool: sends any window of what is not acknowledged, again and again. */
const run = fc.record({
  lengths: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 3 }),
  steps: fc.array(
    fc.record({
      boot: fc.nat(2),
      from: fc.nat(14),
      count: fc.integer({ min: 1, max: 6 }),
      shuffled: fc.boolean(),
      restart: fc.boolean(),
      kind: fc.constantFrom<StreamKind>('telemetry', 'events'),
    }),
    { maxLength: 25 },
  ),
});

describe('telemetry in the store', () => {
  it('is there once and whole, whatever is lost, doubled, reordered or restarted on the way', async () => {
    await fc.assert(
      fc.asyncProperty(run, async ({ lengths, steps }) => {
        const folder = await mkdtemp(join(tmpdir(), 'flotilla-telemetry-'));
        const path = join(folder, 'telemetry.db');
        let store = await TelemetryRepository.open(path);
        try {
          const acknowledged = new Map<string, number>();
          const send = async (batches: readonly ReceivedBatch[]): Promise<void> => {
            for (const { ack } of (await store.ingest(batches)).acks) {
              const key = `${ack.kind}/${String(ack.bootId)}`;
              expect(ack.upTo).toBeGreaterThanOrEqual(acknowledged.get(key) ?? 0);
              acknowledged.set(key, ack.upTo);
            }
          };
          for (const step of steps) {
            const boot = step.boot % lengths.length;
            const last = lengths[boot] ?? 0;
            const numbers = Array.from({ length: step.count }, (_, n) => step.from + n + 1).filter((n) => n <= last);
            if (step.shuffled) numbers.reverse();
            await send(numbers.map((sequence) => batchOf(step.kind, boot, sequence)));
            if (step.restart) {
              await store.close();
              store = await TelemetryRepository.open(path);
            }
          }
          // In the end the device sends all that it was not told is stored, in order.
          for (const [boot, last] of lengths.entries()) {
            for (const kind of ['telemetry', 'events'] as const) {
              const rest: ReceivedBatch[] = [];
              const upTo = acknowledged.get(`${kind}/${String(boot)}`) ?? 0;
              for (let sequence = upTo + 1; sequence <= last; sequence++) rest.push(batchOf(kind, boot, sequence));
              await send(rest);
            }
          }
          const total = lengths.reduce((sum, length) => sum + length, 0);
          const answer = await store.telemetry({ workspace: 'w', device: 'd', fromMs: 0 });
          expect(answer.modules[0]?.requests).toBe(total);
          expect(answer.batches).toBe(total);
          expect(answer.dropped).toBe(0);
          const { events } = await store.events({ workspace: 'w', device: 'd', limit: 500 });
          expect(new Set(events.map(({ message }) => message)).size).toBe(total);
          expect(events).toHaveLength(total);
        } finally {
          await store.close();
          await rm(folder, { recursive: true, force: true });
        }
      }),
      { numRuns: 25 },
    );
  }, 60_000);

  it('survives any bytes as a batch', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'flotilla-telemetry-'));
    const store = await TelemetryRepository.open(join(folder, 'telemetry.db'));
    try {
      const anything = fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.json().map((text) => new TextEncoder().encode(text)),
        fc
          .record({ bootId: fc.nat(), sequence: fc.nat(), droppedFrom: fc.option(fc.nat(), { nil: undefined }) })
          .map(encodeMessage),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(anything, { maxLength: 5 }), async (payloads) => {
          const batches = payloads.map((payload) => ({ ...batchOf('telemetry', 1, 1), payload }));
          const { counts } = await store.ingest(batches);
          expect(counts.stored).toBe(0);
        }),
        { numRuns: 60 },
      );
    } finally {
      await store.close();
      await rm(folder, { recursive: true, force: true });
    }
  });
});
