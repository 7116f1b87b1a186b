/** What a scoring host counted of a module, as it is told to a control plane. Pure. */
import type { HostModuleStats } from '#shared/scoring/host-protocol.js';
import type { OutsideStats } from '#shared/scoring/traffic/shadow-counts.js';
import type { ShadowMetrics } from '#shared/protocol/shadow.js';
import type { ModuleMetrics } from '#shared/protocol/stream.js';

export function moduleMetricsOf(stats: HostModuleStats): ModuleMetrics {
  const { digest, version, provider, requests, errors, latencyMs, stages, tensors, mirrored } = stats;
  return {
    ...{ digest, version, provider, requests, errors: { ...errors }, latencyMs },
    ...(stages === undefined ? {} : { stages }),
    ...(tensors === undefined ? {} : { tensors }),
    ...(mirrored === undefined ? {} : { shadow: shadowMetricsOf(mirrored) }),
  };
}

export function shadowMetricsOf({ disagreed: _, largestDifference, ...counts }: OutsideStats): ShadowMetrics {
  return { ...counts, ...(largestDifference === null ? {} : { largestDifference }) };
}
