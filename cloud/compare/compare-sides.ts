/** One image in two places, from what both told: what a person compares, and where there is too little to. Pure. */
import { emptySketch, mergeSketch, quantile, type Sketch } from '#shared/protocol/sketch.js';
import type { ComparedSideBody, CompareBody } from '#cloud/http/schemas/compare.js';
import { addNumbers, type ModuleNumbers, noNumbers } from '#cloud/telemetry/cohort-numbers.js';
import type { SideAnswer } from '#cloud/telemetry/telemetry-port.js';
import { driftBetween } from './drift-between.js';

export interface AskedSide {
  readonly name: string;
  /** Deployments or devices that there are. */
  readonly asked: number;
  readonly answer: SideAnswer;
}

type Compared = Pick<CompareBody, 'sides' | 'release' | 'drift' | 'notes'>;

/** Of requests; with fewer the 99th percentile is one of the slowest few. */
const fewRequests = 100;

export function compareSides(endpoint: AskedSide, devices: AskedSide): Compared {
  const [here, there] = [sumOf(endpoint.answer), sumOf(devices.answer)];
  const sides: Compared['sides'] = [
    bodyOf('endpoint', endpoint, here.numbers, here.compute),
    bodyOf('devices', devices, there.numbers, there.compute),
  ];
  const drift = driftBetween(here.numbers, there.numbers);
  const notes = [...sides.flatMap(notesOn), ...(drift.length === 0 ? [noTensors(sides)] : [])];
  return { sides, release: releaseOf(sides), drift, notes: notes.filter((note) => note !== '') };
}

function sumOf({ images }: SideAnswer): { readonly numbers: ModuleNumbers; readonly compute: Sketch } {
  const numbers = noNumbers();
  const compute = emptySketch();
  for (const image of images) {
    addNumbers(numbers, image.numbers);
    mergeSketch(compute, image.compute);
  }
  return { numbers, compute };
}

function bodyOf(
  kind: ComparedSideBody['kind'],
  { name, asked, answer }: AskedSide,
  { requests, errors, latency }: ModuleNumbers,
  compute: Sketch,
): ComparedSideBody {
  const failed = [...errors.values()].reduce((sum, count) => sum + count, 0);
  const { copies } = answer;
  return {
    ...{ kind, name, asked, told: answer.told },
    images: answer.images.map(({ digest, module, version, numbers }) => {
      return { digest, module, version, requests: numbers.requests };
    }),
    ...{ requests, errors: Object.fromEntries(errors) },
    errorShare: requests === 0 ? null : Math.min(1, failed / requests),
    latencyMs: quantilesOf(latency),
    ...(compute.count === 0 ? {} : { computeMs: quantilesOf(compute) }),
    ...(copies && {
      copies: { ...copies, agreement: copies.compared === 0 ? null : copies.agreed / copies.compared },
    }),
  };
}

function quantilesOf(sketch: Sketch): ComparedSideBody['latencyMs'] {
  const [p50, p90, p99] = [0.5, 0.9, 0.99].map((q) => quantile(sketch, q));
  const mean = sketch.count === 0 ? null : sketch.sum / sketch.count;
  return { p50: p50 ?? null, p90: p90 ?? null, p99: p99 ?? null, max: sketch.max, mean };
}

/** By what answered; where there are several, all of them answered on both sides. */
function releaseOf([endpoint, devices]: Compared['sides']): CompareBody['release'] {
  const [here, there] = [digestsOf(endpoint), digestsOf(devices)];
  if (here.length === 0 || there.length === 0) return 'unknown';
  return here.join() === there.join() ? 'same' : 'different';
}

function digestsOf({ images }: ComparedSideBody): string[] {
  return [...new Set(images.filter(({ requests }) => requests > 0).map(({ digest }) => digest))].sort();
}

function notesOn({ kind, name, asked, told, requests, copies }: ComparedSideBody): string[] {
  const what = kind === 'endpoint' ? 'deployment' : 'device';
  if (asked === 0) return [`${name} has no ${what}s`];
  if (told === 0) return [`no ${what} of ${name} told anything of it in this span`];
  if (requests === 0 && copies !== undefined) return [`on ${name} it answered nobody: it only got copies`];
  if (requests === 0) return [`on ${name} it was asked nothing`];
  if (requests >= fewRequests) return [];
  return [`${name} had ${String(requests)} requests: too few for its p99 and its share of errors to say much`];
}

function noTensors(sides: Compared['sides']): string {
  if (sides.some(({ requests }) => requests === 0)) return '';
  return 'its module.yaml asks for no summaries of tensors (telemetry.tensors), so drift cannot be told';
}
