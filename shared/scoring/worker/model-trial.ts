/**
 * What a model is like, found out by running it on made-up inputs when it is loaded: how long a run takes,
 * and whether rows of several requests may be run together. That is proved, not guessed from names: three
 * rows run together must give what each gives alone, and be cheaper. A recurrent model whose first
 * dimension is time, or one whose output depends on its neighbours, fails the proof and is never batched.
 */
import { messageOf } from '#shared/kernel/errors.js';
import type { ScoringOptions } from '#shared/package/scoring-options.js';
import type { ModelSignature, Tensor } from '../codec/tensor.js';
import { madeUpInputs } from './made-up-inputs.js';
import { cutRows, joinRows } from './row-batch.js';
import type { ModelTraits } from './worker-protocol.js';

type Run = (inputs: readonly Tensor[], outputs: readonly string[]) => Tensor[] | Promise<Tensor[]>;

/** Beyond it a run fills its core by itself, and joining requests only makes the first wait for the last. */
const slowRunMs = 20;
const timedRuns = 8;
const enoughSlowRuns = 2;
const trialRows = 3;
/** Rows together must cost at most this share of rows alone. */
const worthwhile = 0.8;
const tolerance = { absolute: 1e-4, relative: 1e-3 };

export async function tryModel(
  run: Run,
  signature: ModelSignature,
  options: ScoringOptions,
  nowMs: () => number,
): Promise<ModelTraits> {
  const { batching, warmUp } = options;
  const outputs = signature.outputs.map(({ name }) => name);
  const rowwise = isRowwise(signature);
  let runMs: number | undefined;
  try {
    const row = madeUpInputs(signature.inputs, { seed: 1 });
    if (row) {
      for (let count = 0; count < warmUp.runs; count++) await run(row, outputs);
      if (warmUp.runs > 0) runMs = await fastest(run, row, outputs, nowMs);
    }
  } catch (error) {
    // Made-up inputs need not suit the model: what it takes is told by requests and golden vectors.
    return { maxBatchRows: 0, batchingReason: `made-up inputs do not run: ${messageOf(error)}`, runMs: undefined };
  }
  const unbatched = (batchingReason: string): ModelTraits => ({ maxBatchRows: 0, batchingReason, runMs });
  const batched = (): ModelTraits => ({ maxBatchRows: batching.maxRows, batchingReason: '', runMs });
  if (batching.mode === 'off' || batching.maxRows === 1) return unbatched('switched off');
  if (!rowwise) return unbatched('not every input and output has a free first dimension');
  if (batching.mode === 'on') return batched();
  if (runMs === undefined) return unbatched('it was not tried: warmUp.runs is 0');
  if (runMs > slowRunMs) return unbatched('one run takes long enough by itself');
  try {
    const reason = await whyNotTogether(run, signature, outputs, runMs, nowMs);
    return reason === undefined ? batched() : unbatched(reason);
  } catch (error) {
    return unbatched(`rows do not run together: ${messageOf(error)}`);
  }
}

function isRowwise({ inputs, outputs }: ModelSignature): boolean {
  return inputs.length > 0 && [...inputs, ...outputs].every(({ shape }) => typeof shape[0] === 'string');
}

async function whyNotTogether(
  run: Run,
  signature: ModelSignature,
  outputs: readonly string[],
  runMs: number,
  nowMs: () => number,
): Promise<string | undefined> {
  const rows = Array.from(
    { length: trialRows },
    (_, index) => madeUpInputs(signature.inputs, { seed: index + 2 }) ?? [],
  );
  const alone: Tensor[][] = [];
  for (const row of rows) alone.push(await run(row, outputs));
  const joined = joinRows(rows);
  const together = cutRows(
    await run(joined, outputs),
    rows.map(() => 1),
  );
  if (together === undefined) return 'its outputs have not as many rows as its inputs';
  const equal = alone.every((expected, row) =>
    expected.every((tensor, index) => agree(tensor, together[row]?.[index])),
  );
  if (!equal) return 'rows run together give other answers than alone';
  const togetherMs = await fastest(run, joined, outputs, nowMs);
  return togetherMs > worthwhile * trialRows * runMs ? 'rows run together cost what they cost alone' : undefined;
}

/** The best of a few: noise of a busy machine only ever adds. */
async function fastest(
  run: Run,
  inputs: readonly Tensor[],
  outputs: readonly string[],
  nowMs: () => number,
): Promise<number> {
  let best = Infinity;
  for (let count = 0; count < timedRuns; count++) {
    const started = nowMs();
    await run(inputs, outputs);
    best = Math.min(best, nowMs() - started);
    if (count >= enoughSlowRuns && best > slowRunMs) break;
  }
  return best;
}

function agree(expected: Tensor, got: Tensor | undefined): boolean {
  if (!got || got.data.length !== expected.data.length) return false;
  const floating = expected.datatype === 'FP32' || expected.datatype === 'FP64';
  for (let index = 0; index < expected.data.length; index++) {
    const a = expected.data[index];
    const b = got.data[index];
    if (a === b) continue;
    if (!floating) return false;
    const difference = Math.abs(Number(a) - Number(b));
    const bothNaN = Number.isNaN(Number(a)) && Number.isNaN(Number(b));
    if (!bothNaN && !(difference <= tolerance.absolute + tolerance.relative * Math.abs(Number(a)))) return false;
  }
  return true;
}
