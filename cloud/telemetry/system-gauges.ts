/** Readings of a machine as sums that merge: how many, their sum, the least and the greatest. Pure. */
import type { SystemMetrics } from '#shared/protocol/stream.js';

export const gaugeNames = [
  'cpu',
  'memory',
  'disk',
  'temperature',
  'gpu',
  'gpu-memory',
  'agent-memory',
  'hosts-memory',
] as const;
export type GaugeName = (typeof gaugeNames)[number];

export interface Gauge {
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
}

export type SystemGauges = Readonly<Partial<Record<GaugeName, Gauge>>>;

/** Shares in [0, 1], degrees, bytes; of several GPUs the busiest and the fullest. */
export function gaugesOf(system: SystemMetrics): SystemGauges {
  const gpus = system.gpus ?? [];
  const values: Record<GaugeName, number | undefined> = {
    cpu: system.cpu,
    memory: share(system.memoryUsedBytes, system.memoryTotalBytes),
    disk: share(system.diskUsedBytes, system.diskTotalBytes),
    temperature: system.temperatureCelsius,
    gpu: greatest(gpus.map(({ busy }) => busy)),
    'gpu-memory': greatest(
      gpus.map(({ memoryUsedBytes, memoryTotalBytes }) => share(memoryUsedBytes, memoryTotalBytes)),
    ),
    'agent-memory': system.agentRssBytes,
    'hosts-memory': system.hostsRssBytes,
  };
  const gauges: { [Name in GaugeName]?: Gauge } = {};
  for (const name of gaugeNames) {
    const value = values[name];
    if (value !== undefined) gauges[name] = { count: 1, sum: value, min: value, max: value };
  }
  return gauges;
}

export function joinGauges(earlier: SystemGauges, later: SystemGauges): SystemGauges {
  const joined: { [Name in GaugeName]?: Gauge } = { ...earlier };
  for (const name of gaugeNames) {
    const more = later[name];
    if (more !== undefined) joined[name] = joinGauge(joined[name], more);
  }
  return joined;
}

/** As {@link joinGauges}, in place: nobody else may have these. */
export class GaugesSum {
  private readonly sums: { [Name in GaugeName]?: { -readonly [K in keyof Gauge]: Gauge[K] } } = {};

  add(more: SystemGauges): void {
    for (const name of gaugeNames) {
      const gauge = more[name];
      if (gauge === undefined) continue;
      const sum = this.sums[name];
      if (sum === undefined) {
        this.sums[name] = { ...gauge };
        continue;
      }
      sum.count += gauge.count;
      sum.sum += gauge.sum;
      if (gauge.min < sum.min) sum.min = gauge.min;
      if (gauge.max > sum.max) sum.max = gauge.max;
    }
  }

  get gauges(): SystemGauges {
    return this.sums;
  }
}

export function joinGauge(before: Gauge | undefined, more: Gauge): Gauge {
  if (before === undefined) return more;
  return {
    count: before.count + more.count,
    sum: before.sum + more.sum,
    min: Math.min(before.min, more.min),
    max: Math.max(before.max, more.max),
  };
}

function share(used: number | undefined, total: number | undefined): number | undefined {
  return used === undefined || total === undefined || total <= 0 ? undefined : used / total;
}

function greatest(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}
