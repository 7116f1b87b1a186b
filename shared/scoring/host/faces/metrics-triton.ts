/** The same under the names of the protocol's own server, so that its dashboards read this one too. */
import type { Family } from '#shared/platform/exposition.js';
import { failureReasons, type StatisticsSnapshot } from '../../engine/statistics.js';
import { labelsOf, type ModelReading } from './metrics-families.js';

export function tritonFamilies(readings: readonly ModelReading[]): Family[] {
  const counter = (name: string, help: string, value: (statistics: StatisticsSnapshot) => number): Family => ({
    name: `nv_${name}`,
    help,
    type: 'counter',
    samples: readings.map((reading) => ({ labels: labelsOf(reading), value: value(reading.statistics) })),
  });
  const micros = (name: string, help: string, ns: (statistics: StatisticsSnapshot) => number): Family =>
    counter(`inference_${name}_duration_us`, help, (statistics) => Math.round(ns(statistics) / 1000));
  return [
    counter('inference_request_success', 'Requests that succeeded.', ({ success }) => success.count),
    {
      name: 'nv_inference_request_failure',
      help: 'Requests that failed.',
      type: 'counter',
      samples: readings.flatMap((reading) =>
        failureReasons.map((reason) => ({
          labels: { ...labelsOf(reading), reason },
          value: reading.statistics.failures[reason],
        })),
      ),
    },
    counter('inference_count', 'Rows that the model was run on.', ({ rows }) => rows),
    counter('inference_exec_count', 'Runs of the model.', ({ executions }) => executions),
    {
      name: 'nv_inference_pending_request_count',
      help: 'Requests that wait to be run.',
      type: 'gauge',
      samples: readings.map((reading) => ({ labels: labelsOf(reading), value: reading.pending })),
    },
    micros('request', 'Whole requests.', ({ success }) => success.ns),
    micros('queue', 'Waiting for a run.', ({ queue }) => queue.ns),
    micros('compute_input', 'Making of tensors.', ({ computeInput }) => computeInput.ns),
    micros('compute_infer', 'Runs of the model.', ({ computeInfer }) => computeInfer.ns),
    micros('compute_output', 'Writing of answers.', ({ computeOutput }) => computeOutput.ns),
    counter('cache_num_hits_per_model', 'Requests answered from the cache.', ({ cacheHit }) => cacheHit.count),
    counter('cache_num_misses_per_model', 'Requests not found in the cache.', ({ cacheMiss }) => cacheMiss.count),
  ];
}
