/** What a simulated device counts in an interval: plausible numbers, summarised as scoring hosts summarise real ones. */
import type { Random } from '#shared/kernel/ids.js';
import { type TensorWatchOptions, watchedName } from '#shared/package/telemetry-options.js';
import { addToSketch, emptySketch, encodeSketch } from '#shared/protocol/sketch.js';
import type { ModuleMetrics, SystemMetrics } from '#shared/protocol/stream.js';
import {
  addCategory,
  addNumber,
  type EncodedSummary,
  emptySummary,
  encodeSummary,
  type Summary,
} from '#shared/protocol/summary.js';
import type { BatchContent } from '#agent/telemetry/batch-content.js';
import type { ModuleVersion } from '#agent/serving/module-version.js';
import { type Conduct, drawNormal } from './conduct.js';

export interface Interval {
  readonly at: string;
  readonly intervalMs: number;
  readonly generation: number;
  readonly requestsPerMinute: number;
}

/** Beyond so many requests an interval, further ones are counted like these. */
const drawnAtMost = 200;
/** Classes of what is counted by category. */
const classes = 10;

export function simulatedBatch(
  versions: readonly ModuleVersion[],
  interval: Interval,
  conductWith: (image: ModuleVersion['desired']['image']) => Conduct,
  random: Random,
): BatchContent {
  const { at, intervalMs, generation } = interval;
  const modules = versions.map(
    (version) => [version.name, metricsOf(version, interval, conductWith(version.desired.image), random)] as const,
  );
  return { at, intervalMs, generation, modules: Object.fromEntries(modules), system: systemOf(random) };
}

function metricsOf(
  { desired, manifest }: ModuleVersion,
  { intervalMs, requestsPerMinute }: Interval,
  { latencyMs, errorShare, drift }: Conduct,
  random: Random,
): ModuleMetrics {
  const expected = (requestsPerMinute * intervalMs) / 60_000;
  const requests = Math.max(0, Math.round(expected + Math.sqrt(expected) * drawNormal(random)));
  const drawn = Math.min(requests, drawnAtMost);
  const latency = emptySketch();
  let errors = 0;
  for (let n = 0; n < drawn; n++) {
    if (random() < errorShare) errors += 1;
    else addToSketch(latency, latencyMs * Math.exp(0.3 * drawNormal(random)));
  }
  const failed = drawn === 0 ? 0 : Math.round((errors * requests) / drawn);
  const { digest, version } = desired.image;
  const { telemetry } = manifest;
  const tensors =
    telemetry === undefined || drawn === 0
      ? {}
      : {
          tensors: {
            samples: drawn,
            inputs: summaries(telemetry.inputs, drawn, 0, random),
            outputs: summaries(telemetry.outputs, drawn, drift, random),
          },
        };
  return {
    ...{ digest, version, provider: 'cpu', requests },
    errors: failed === 0 ? {} : { 'score.failed': failed },
    latencyMs: encodeSketch(latency),
    ...tensors,
  };
}

function summaries(
  watched: readonly TensorWatchOptions[],
  count: number,
  shift: number,
  random: Random,
): Record<string, EncodedSummary> {
  return Object.fromEntries(
    watched.map((tensor): [string, EncodedSummary] => [
      watchedName(tensor),
      encodeSummary(summaryOf(tensor, count, shift, random)),
    ]),
  );
}

/** Numbers around 0; classes by where such a number falls. */
function summaryOf({ as }: TensorWatchOptions, count: number, shift: number, random: Random): Summary {
  if (as === 'numbers') {
    const numbers = emptySummary('numbers');
    for (let n = 0; n < count; n++) addNumber(numbers, shift + drawNormal(random), undefined);
    return numbers;
  }
  const categories = emptySummary('categories');
  for (let n = 0; n < count; n++) {
    const place = Math.floor(((shift + drawNormal(random) + 3) / 6) * classes);
    addCategory(categories, String(Math.min(classes - 1, Math.max(0, place))), undefined);
  }
  return categories;
}

const gigabyte = 1024 ** 3;

function systemOf(random: Random): SystemMetrics {
  return {
    cpu: Math.min(1, 0.1 + 0.2 * random()),
    memoryUsedBytes: Math.round((1 + random()) * gigabyte),
    memoryTotalBytes: 4 * gigabyte,
    diskUsedBytes: 8 * gigabyte,
    diskTotalBytes: 32 * gigabyte,
    agentRssBytes: Math.round((0.08 + 0.02 * random()) * gigabyte),
    hostsRssBytes: Math.round((0.2 + 0.05 * random()) * gigabyte),
  };
}
