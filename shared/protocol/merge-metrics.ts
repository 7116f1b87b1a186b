/** Module metrics of several intervals as those of one: counts add, sketches and summaries merge. */
import { joinRoutesMetrics } from './route-metrics.js';
import { decodeSketch, emptySketch, type EncodedSketch, encodeSketch, mergeSketch } from './sketch.js';
import type { ShadowMetrics } from './shadow.js';
import type { ModuleMetrics, StageLatency, TensorSummaries } from './stream.js';
import { decodeSummary, type EncodedSummary, encodeSummary, mergeSummary } from './summary.js';

/** @returns undefined when they are of two versions, or of two shadows, which no interval can say */
export function joinModuleMetrics(earlier: ModuleMetrics, later: ModuleMetrics): ModuleMetrics | undefined {
  const same =
    earlier.digest === later.digest && earlier.version === later.version && earlier.provider === later.provider;
  if (!same) return undefined;
  const [first, second] = [earlier.shadow, later.shadow];
  const shadow = first === undefined || second === undefined ? (first ?? second) : joinShadows(first, second);
  if (shadow === undefined && first !== undefined) return undefined;
  const stages = joinStages(earlier.stages, later.stages);
  const tensors = joinTensors(earlier.tensors, later.tensors);
  const routes = joinRoutesMetrics(earlier.routes ?? {}, later.routes ?? {});
  return {
    ...later,
    requests: earlier.requests + later.requests,
    errors: joinCounts(earlier.errors, later.errors),
    latencyMs: joinSketches(earlier.latencyMs, later.latencyMs),
    ...(stages === undefined ? {} : { stages }),
    ...(tensors === undefined ? {} : { tensors }),
    ...(shadow === undefined ? {} : { shadow }),
    ...(Object.keys(routes).length === 0 ? {} : { routes }),
  };
}

export function joinSketches(earlier: EncodedSketch, later: EncodedSketch): EncodedSketch {
  const joined = emptySketch();
  for (const encoded of [earlier, later]) mergeSketch(joined, decodeSketch(encoded) ?? emptySketch());
  return encodeSketch(joined);
}

export function joinCounts(
  earlier: Readonly<Record<string, number>>,
  later: Readonly<Record<string, number>>,
): Record<string, number> {
  const joined = new Map(Object.entries(earlier));
  for (const [name, count] of Object.entries(later)) joined.set(name, (joined.get(name) ?? 0) + count);
  return Object.fromEntries(joined);
}

export function joinStages(
  earlier: StageLatency | undefined,
  later: StageLatency | undefined,
): StageLatency | undefined {
  if (earlier === undefined || later === undefined) return earlier ?? later;
  return {
    queueMs: joinSketches(earlier.queueMs, later.queueMs),
    computeMs: joinSketches(earlier.computeMs, later.computeMs),
  };
}

export function joinTensors(
  earlier: TensorSummaries | undefined,
  later: TensorSummaries | undefined,
): TensorSummaries | undefined {
  if (earlier === undefined || later === undefined) return earlier ?? later;
  return {
    samples: earlier.samples + later.samples,
    inputs: joinSummaries(earlier.inputs, later.inputs),
    outputs: joinSummaries(earlier.outputs, later.outputs),
  };
}

/** @returns undefined when they are of two shadows, or told under two words, which no interval can say */
export function joinShadows(earlier: ShadowMetrics, later: ShadowMetrics): ShadowMetrics | undefined {
  if (earlier.digest !== later.digest || earlier.version !== later.version || earlier.tag !== later.tag)
    return undefined;
  const differences = [earlier.largestDifference, later.largestDifference].filter((one) => one !== undefined);
  return {
    digest: later.digest,
    version: later.version,
    ...(later.tag === undefined ? {} : { tag: later.tag }),
    compared: earlier.compared + later.compared,
    agreed: earlier.agreed + later.agreed,
    uncompared: earlier.uncompared + later.uncompared,
    liveErrors: earlier.liveErrors + later.liveErrors,
    shadowErrors: earlier.shadowErrors + later.shadowErrors,
    dropped: earlier.dropped + later.dropped,
    ...(differences.length === 0 ? {} : { largestDifference: Math.max(...differences) }),
    liveLatencyMs: joinSketches(earlier.liveLatencyMs, later.liveLatencyMs),
    shadowLatencyMs: joinSketches(earlier.shadowLatencyMs, later.shadowLatencyMs),
  };
}

type Summaries = TensorSummaries['inputs'];

function joinSummaries(earlier: Summaries, later: Summaries): Summaries {
  const joined = new Map(Object.entries(earlier));
  for (const [name, encoded] of Object.entries(later)) {
    const before = joined.get(name);
    joined.set(name, before === undefined ? encoded : joinSummary(before, encoded));
  }
  return Object.fromEntries(joined);
}

function joinSummary(earlier: EncodedSummary, later: EncodedSummary): EncodedSummary {
  const [into, from] = [decodeSummary(earlier), decodeSummary(later)];
  if (into === undefined || from === undefined) return into === undefined ? later : earlier;
  mergeSummary(into, from);
  return encodeSummary(into);
}
