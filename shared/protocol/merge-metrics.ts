/** Module metrics of several intervals as those of one: counts add, sketches and summaries merge. */
import { decodeSketch, emptySketch, type EncodedSketch, encodeSketch, mergeSketch } from './sketch.js';
import type { ShadowMetrics } from './shadow.js';
import type { StageLatency, TensorSummaries } from './stream.js';
import { decodeSummary, type EncodedSummary, encodeSummary, mergeSummary } from './summary.js';

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
