/**
 * Looks at some requests' tensors, where they are tensors anyway, and sums up what the module's manifest asks for.
 * How much it costs is bounded: so many requests a second, so many elements of each tensor, evenly spread.
 */
import { type TelemetryOptions, type TensorWatchOptions, watchedName } from '#shared/package/telemetry-options.js';
import { addCategory, addNumber, emptySummary, mergeSummary, type Summary } from '#shared/protocol/summary.js';
import { halfToNumber } from '../codec/half-float.js';
import type { Tensor } from '../codec/tensor.js';

const maxElements = 1024;
/** The greatest of a row is known only when all of it was read. */
const maxArgmaxElements = 16 * maxElements;

/** By the name that the summary goes by. */
export interface SeenTensors {
  samples: number;
  readonly inputs: Map<string, Summary>;
  readonly outputs: Map<string, Summary>;
}

export function nothingSeen(): SeenTensors {
  return { samples: 0, inputs: new Map(), outputs: new Map() };
}

export function mergeSeen(into: SeenTensors, from: SeenTensors): void {
  into.samples += from.samples;
  for (const side of ['inputs', 'outputs'] as const) {
    for (const [name, summary] of from[side]) {
      const before = into[side].get(name);
      if (before) mergeSummary(before, summary);
      else into[side].set(name, summary);
    }
  }
}

export class TensorWatch {
  private seen = nothingSeen();
  private nextAtMs = Number.NEGATIVE_INFINITY;
  private turn = 0;

  private constructor(
    private readonly inputs: readonly TensorWatchOptions[],
    private readonly outputs: readonly TensorWatchOptions[],
    private readonly everyMs: number,
    private readonly nowMs: () => number,
  ) {}

  /** @returns undefined where nothing of this model is asked for */
  static of(options: TelemetryOptions | undefined, model: string, nowMs: () => number): TensorWatch | undefined {
    if (options === undefined) return undefined;
    const ofModel = (all: readonly TensorWatchOptions[]): TensorWatchOptions[] =>
      all.filter((one) => one.model === undefined || one.model === model);
    const [inputs, outputs] = [ofModel(options.inputs), ofModel(options.outputs)];
    if (inputs.length + outputs.length === 0) return undefined;
    return new TensorWatch(inputs, outputs, 1000 / options.samplesPerSecond, nowMs);
  }

  /** An answered request; most are not looked at. */
  offer(inputs: readonly Tensor[], outputs: readonly Tensor[]): void {
    const now = this.nowMs();
    if (now < this.nextAtMs) return;
    this.nextAtMs = now + this.everyMs;
    this.turn += 1;
    this.seen.samples += 1;
    this.look(this.inputs, inputs, this.seen.inputs);
    this.look(this.outputs, outputs, this.seen.outputs);
  }

  /** What was seen since it was last taken; undefined: nothing. */
  take(): SeenTensors | undefined {
    if (this.seen.samples === 0) return undefined;
    const { seen } = this;
    this.seen = nothingSeen();
    return seen;
  }

  private look(wanted: readonly TensorWatchOptions[], tensors: readonly Tensor[], into: Map<string, Summary>): void {
    for (const options of wanted) {
      const tensor = tensors.find(({ name }) => name === options.name);
      // An output that the request did not ask for.
      if (!tensor) continue;
      const name = watchedName(options);
      const summary = into.get(name) ?? emptySummary(options.as === 'numbers' ? 'numbers' : 'categories');
      into.set(name, summary);
      summarise(tensor, options, summary, this.turn);
    }
  }
}

function summarise(tensor: Tensor, { as, missing }: TensorWatchOptions, summary: Summary, turn: number): void {
  const { length } = tensor.data;
  if (as === 'argmax') {
    if (summary.kind === 'categories') chosen(tensor, summary);
    return;
  }
  const step = Math.max(1, Math.ceil(length / maxElements));
  const none = missing === undefined ? undefined : String(missing);
  // Beginning elsewhere each time, so that no element is passed over for ever.
  for (let at = turn % step; at < length; at += step) {
    if (summary.kind === 'numbers') addNumber(summary, numberAt(tensor, at), missing);
    else addCategory(summary, textAt(tensor, at), none);
  }
}

function chosen(tensor: Tensor, summary: Extract<Summary, { kind: 'categories' }>): void {
  const { length } = tensor.data;
  const classes = tensor.shape.at(-1) ?? length;
  if (classes === 0 || length === 0) return;
  const rows = Math.min(length / classes, Math.max(1, Math.floor(maxArgmaxElements / classes)));
  for (let row = 0; row < rows; row++) {
    let best = -1;
    let bestValue = Number.NEGATIVE_INFINITY;
    for (let index = 0; index < classes; index++) {
      const value = numberAt(tensor, row * classes + index);
      if (value > bestValue || best < 0) {
        if (Number.isNaN(value)) continue;
        best = index;
        bestValue = value;
      }
    }
    addCategory(summary, best < 0 ? '' : String(best), undefined);
  }
}

function numberAt({ datatype, data }: Tensor, at: number): number {
  const value = data[at];
  if (datatype === 'FP16' && typeof value === 'number') return halfToNumber(value);
  return Number(value);
}

function textAt({ datatype, data }: Tensor, at: number): string {
  const value = data[at];
  if (datatype === 'BOOL') return value === 0 ? 'false' : 'true';
  return String(value);
}
