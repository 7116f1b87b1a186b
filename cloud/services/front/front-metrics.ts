/** The numbers of the front for Prometheus: one sample a deployment. */
import type { Family, Labels, Sample } from '#shared/platform/exposition.js';
import { histogramOf } from '#shared/protocol/sketch.js';
import type { MirrorOutcome } from './deployment-tally.js';
import type { EndpointRoutes } from './endpoint-routes.js';
import type { Lane } from './lane.js';

const boundsMs = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 60_000, 180_000];
const outcomes: readonly MirrorOutcome[] = ['answered', 'failed', 'dropped'];

interface Labelled {
  readonly labels: Labels;
  readonly lane: Lane;
}

export function frontFamilies(endpoints: Iterable<EndpointRoutes>, nowMs: number): Family[] {
  const all: Labelled[] = [...endpoints].flatMap(({ workspace, name, lanes }) =>
    [...lanes.values()].map((lane) => ({ lane, labels: { workspace, endpoint: name, deployment: lane.name } })),
  );
  const each = (value: (lane: Lane) => number): Sample[] =>
    all.map(({ lane, labels }) => ({ labels, value: value(lane) }));
  const numbers = (lane: Lane) => lane.tally.numbers(nowMs, lane.outstanding);
  return [
    {
      name: 'flotilla_endpoint_requests_total',
      help: 'Requests to score, by the deployment that was chosen.',
      type: 'counter',
      samples: each((lane) => numbers(lane).requests),
    },
    {
      name: 'flotilla_endpoint_errors_total',
      help: 'Requests that the deployment did not answer with success.',
      type: 'counter',
      samples: each((lane) => numbers(lane).errors),
    },
    {
      name: 'flotilla_endpoint_rejected_total',
      help: 'Requests above what the deployment may have under way and waiting.',
      type: 'counter',
      samples: each((lane) => numbers(lane).rejected),
    },
    {
      name: 'flotilla_endpoint_outstanding',
      help: 'Requests that wait or are under way.',
      type: 'gauge',
      samples: each((lane) => lane.outstanding),
    },
    {
      name: 'flotilla_endpoint_mirrored_total',
      help: 'Copies of live requests to this deployment, by what became of them.',
      type: 'counter',
      samples: all.flatMap(({ lane, labels }) =>
        outcomes.map((outcome) => ({ labels: { ...labels, outcome }, value: lane.tally.mirrored[outcome] })),
      ),
    },
    {
      name: 'flotilla_endpoint_latency_milliseconds',
      help: 'From admission to the last byte of a replica, waiting included.',
      type: 'histogram',
      samples: all.flatMap(latencySamples),
    },
  ];
}

function latencySamples({ lane, labels }: Labelled): Sample[] {
  const sketch = lane.tally.latencies();
  const counts = histogramOf(sketch, boundsMs);
  let sum = 0;
  const buckets = counts.map((count, index) => {
    sum += count;
    const bound = boundsMs[index];
    return { suffix: '_bucket', labels: { ...labels, le: bound === undefined ? '+Inf' : String(bound) }, value: sum };
  });
  return [...buckets, { suffix: '_sum', labels, value: sketch.sum }, { suffix: '_count', labels, value: sketch.count }];
}
