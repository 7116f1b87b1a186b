/** What is told of each loaded version of a model, under our names. Counts are since it was loaded. */
import type { ErrorCode } from '#shared/kernel/errors.js';
import type { Family, Labels, Sample } from '#shared/platform/exposition.js';
import type { HistogramSnapshot, StatisticsSnapshot } from '../../engine/statistics.js';

/** One version of one model, as it is read for a scrape. */
export interface ModelReading {
  readonly model: string;
  readonly version: string;
  readonly provider: string;
  readonly pending: number;
  readonly errors: ReadonlyMap<ErrorCode, number>;
  readonly statistics: StatisticsSnapshot;
}

export function ownFamilies(readings: readonly ModelReading[]): Family[] {
  const counter = (name: string, help: string, value: (reading: ModelReading) => number): Family => ({
    name: `flotilla_scoring_${name}_total`,
    help,
    type: 'counter',
    samples: readings.map((reading) => ({ labels: labelsOf(reading), value: value(reading) })),
  });
  const seconds = (name: string, help: string, ns: (statistics: StatisticsSnapshot) => number): Family =>
    counter(`${name}_seconds`, help, ({ statistics }) => ns(statistics) / 1e9);
  return [
    counter(
      'requests',
      'Requests that ended, well or not.',
      ({ statistics: { success, fail } }) => success.count + fail.count,
    ),
    {
      name: 'flotilla_scoring_errors_total',
      help: 'Requests that failed, by the code of their failure.',
      type: 'counter',
      samples: readings.flatMap((reading) =>
        [...reading.errors].map(([code, value]) => ({ labels: { ...labelsOf(reading), code }, value })),
      ),
    },
    histogram(
      'request',
      'From the arrival of a request to its answer, where it succeeded.',
      readings,
      ({ request }) => request,
    ),
    histogram('queue', 'From the arrival of a request in the queue to its run.', readings, ({ wait }) => wait),
    seconds('compute_input', 'Reading of requests and making of tensors.', ({ computeInput }) => computeInput.ns),
    seconds('compute_infer', 'Runs of the model.', ({ computeInfer }) => computeInfer.ns),
    seconds('compute_output', 'Writing of answers.', ({ computeOutput }) => computeOutput.ns),
    counter('rows', 'Rows that models were run on.', ({ statistics }) => statistics.rows),
    counter('executions', 'Runs of models; one may serve several requests.', ({ statistics }) => statistics.executions),
    counter('cache_hits', 'Requests answered from the cache.', ({ statistics }) => statistics.cacheHit.count),
    counter('cache_misses', 'Requests not found in the cache.', ({ statistics }) => statistics.cacheMiss.count),
    {
      name: 'flotilla_scoring_pending',
      help: 'Requests that wait to be run.',
      type: 'gauge',
      samples: readings.map((reading) => ({ labels: labelsOf(reading), value: reading.pending })),
    },
    {
      name: 'flotilla_scoring_model_info',
      help: 'What runs the model, as a label of a constant 1.',
      type: 'gauge',
      samples: readings.map((reading) => ({ labels: { ...labelsOf(reading), provider: reading.provider }, value: 1 })),
    },
  ];
}

function histogram(
  name: string,
  help: string,
  readings: readonly ModelReading[],
  choose: (statistics: StatisticsSnapshot) => HistogramSnapshot,
): Family {
  const samples = readings.flatMap((reading) => histogramSamples(labelsOf(reading), choose(reading.statistics)));
  return { name: `flotilla_scoring_${name}_seconds`, help, type: 'histogram', samples };
}

function histogramSamples(labels: Labels, { bounds, cumulative, sumSeconds }: HistogramSnapshot): Sample[] {
  const total = cumulative.at(-1) ?? 0;
  return [
    ...cumulative.map((value, index) => {
      const bound = bounds[index];
      return { suffix: '_bucket', labels: { ...labels, le: bound === undefined ? '+Inf' : String(bound) }, value };
    }),
    { suffix: '_sum', labels, value: sumSeconds },
    { suffix: '_count', labels, value: total },
  ];
}

export function labelsOf({ model, version }: ModelReading): Labels {
  return { model, version };
}
