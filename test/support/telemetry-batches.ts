/** Batches of telemetry as devices send them, for tests of the store and of what is built on it. */
import { encodeMessage } from '#shared/protocol/decode.js';
import { addToSketch, emptySketch, type EncodedSketch, encodeSketch } from '#shared/protocol/sketch.js';
import type { ModuleMetrics, SystemMetrics } from '#shared/protocol/stream.js';
import type { ReceivedBatch } from '#cloud/telemetry/telemetry-port.js';

const at = '2026-01-01T00:00:00.000Z';
export const someDigest = `sha256:${'0'.repeat(64)}`;

export function sketchOf(...values: readonly number[]): EncodedSketch {
  const sketch = emptySketch();
  for (const value of values) addToSketch(sketch, value);
  return encodeSketch(sketch);
}

export function metricsOf(latencies: readonly number[], more: Partial<ModuleMetrics> = {}): ModuleMetrics {
  const counts = { requests: latencies.length, errors: {}, latencyMs: sketchOf(...latencies) };
  return { digest: someDigest, version: 1, ...counts, ...more };
}

export const system: SystemMetrics = {
  ...{ cpu: 0.5, memoryUsedBytes: 1, memoryTotalBytes: 4, diskUsedBytes: 1, diskTotalBytes: 2 },
  ...{ agentRssBytes: 100, hostsRssBytes: 200 },
};

/** A device that numbers what it says. */
export class SayingDevice {
  private readonly sequences = { telemetry: 0, events: 0 };

  constructor(
    readonly device: string,
    readonly workspace = 'w',
  ) {}

  telemetry(receivedAt: number, modules: Record<string, ModuleMetrics>, system?: SystemMetrics): ReceivedBatch {
    return this.say('telemetry', receivedAt, {
      ...{ at, intervalMs: 10_000, generation: 1, modules },
      ...(system === undefined ? {} : { system }),
    });
  }

  events(receivedAt: number, ...types: readonly string[]): ReceivedBatch {
    const events = types.map((type) => ({ at, level: 'warn', type, module: 'digits', message: `${type} happened` }));
    return this.say('events', receivedAt, { at, events });
  }

  private say(kind: 'telemetry' | 'events', receivedAt: number, body: object): ReceivedBatch {
    const sequence = ++this.sequences[kind];
    const payload = encodeMessage({ schema: 1, bootId: 1, sequence, ...body });
    return { workspace: this.workspace, device: this.device, kind, receivedAt, payload };
  }
}
