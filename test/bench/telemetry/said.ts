/**
 * Batches as many devices send them, encoded once: only its number is another each time that a device says its own. Time
 * passes by what is said: ten seconds from one batch of a device to its next, however fast they come.
 */
import { seededRandom } from '#agent/simulate/conduct.js';
import { simulatedBatch } from '#agent/simulate/simulated-telemetry.js';
import { encodeMessage } from '#shared/protocol/decode.js';

export interface Said {
  readonly device: string;
  readonly payload: Uint8Array;
}

const telemetry = {
  inputs: [{ name: 'input', as: 'numbers' }],
  outputs: [{ name: 'label', as: 'categories' }],
};
const intervalMs = 10_000;
const conduct = { latencyMs: 8, errorShare: 0.01, drift: 0 };

export class SayingFleet {
  private readonly halves: { readonly device: string; readonly before: string; readonly after: string }[];
  private said = 0;
  private passedMs = 0;
  private readonly begun = Date.now();

  /** @param digestOf what the module of the device with this number is */
  constructor(devices: number, digestOf: (device: number) => string) {
    const random = seededRandom(7);
    const interval = { at: '2026-01-01T00:00:00.000Z', intervalMs, generation: 1, requestsPerMinute: 300 };
    this.halves = Array.from({ length: devices }, (_, number) => {
      const image = { name: 'detector', version: 2, digest: digestOf(number) };
      const version = { name: 'detector', desired: { image }, manifest: { telemetry } };
      const content = simulatedBatch([version] as never, interval, () => conduct as never, random);
      const text = Buffer.from(encodeMessage({ schema: 1, bootId: 1, sequence: 1234567, ...content })).toString();
      const [before = '', after = ''] = text.split('1234567');
      return { device: `d${String(number).padStart(5, '0')}`, before, after };
    });
  }

  /** Of the device whose turn it is. */
  next(): Said {
    const at = this.said % this.halves.length;
    const sequence = Math.floor(this.said / this.halves.length) + 1;
    this.said += 1;
    const { device = '', before = '', after = '' } = this.halves[at] ?? {};
    return { device, payload: Buffer.from(`${before}${String(sequence)}${after}`) };
  }

  /** Epoch milliseconds, by the fleet's time. */
  now(): number {
    return this.begun + this.passedMs + Math.floor((this.said / this.halves.length) * intervalMs);
  }

  /** Whether each has said something so many times more than now. */
  hasSaid(times: number): () => boolean {
    const enough = this.said + times * this.halves.length;
    return () => this.said >= enough;
  }

  /** Nobody says anything for so long. */
  pass(ms: number): void {
    this.passedMs += ms;
  }
}
