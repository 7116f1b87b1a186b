/** What modules did since this process began, by device and version, and how each device is: totals that only rise, and the latest. */
import { decodeSketch, histogramOf } from '#shared/protocol/sketch.js';
import type { Told } from './untold.js';
import type { SystemGauges } from './system-gauges.js';

/** Milliseconds. */
export const latencyBoundsMs = [0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000] as const;

export interface ModuleTotals {
  readonly names: Readonly<Record<'workspace' | 'device' | 'module' | 'version', string>>;
  requests: number;
  readonly errors: Map<string, number>;
  /** One a bucket, the last beyond all bounds. */
  readonly latencyCounts: number[];
  latencySumMs: number;
}

export interface DeviceGauges {
  readonly names: Readonly<Record<'workspace' | 'device', string>>;
  readonly gauges: SystemGauges;
  readonly atMs: number;
}

/** A device that has said nothing for so long is told no more: it may be gone for good. */
const staleMs = 15 * 60_000;

export class FleetTotals {
  private readonly totals = new Map<string, ModuleTotals>();
  private readonly devices = new Map<string, DeviceGauges>();

  constructor(readonly sinceMs: number) {}

  /** What was summed up; each minute comes once. */
  add({ minutes, machines }: Pick<Told, 'minutes' | 'machines'>): void {
    for (const { workspace, device, module, version, requests, errors, latency } of minutes) {
      const names = { workspace, device, module, version: String(version) };
      const key = JSON.stringify(Object.values(names));
      const zeros = new Array<number>(latencyBoundsMs.length + 1).fill(0);
      const total = this.totals.get(key) ?? {
        ...{ names, requests: 0, errors: new Map<string, number>(), latencyCounts: zeros, latencySumMs: 0 },
      };
      this.totals.set(key, total);
      total.requests += requests;
      for (const [code, count] of Object.entries(errors)) total.errors.set(code, (total.errors.get(code) ?? 0) + count);
      const sketch = decodeSketch(latency);
      if (!sketch) continue;
      for (const [index, count] of histogramOf(sketch, latencyBoundsMs).entries()) {
        total.latencyCounts[index] = (total.latencyCounts[index] ?? 0) + count;
      }
      total.latencySumMs += sketch.sum;
    }
    for (const { workspace, device, gauges, startAt } of machines) {
      this.devices.set(`${workspace}/${device}`, { names: { workspace, device }, gauges, atMs: startAt });
    }
  }

  modules(): readonly ModuleTotals[] {
    return [...this.totals.values()];
  }

  /** Of devices that said something lately. */
  machines(nowMs: number): readonly DeviceGauges[] {
    for (const [key, { atMs }] of this.devices) if (nowMs - atMs > staleMs) this.devices.delete(key);
    return [...this.devices.values()];
  }
}
