/**
 * A group of requests for one model, from bytes to bytes: each is parsed, those that fit together are run
 * together, each is encoded. One request's fault is its own: a run of several that fails is repeated with
 * each alone.
 */
import { AppError, type Problem, toProblem } from '#shared/kernel/errors.js';
import type { EncodedResponse } from '../codec/infer-response.js';
import type { ModelSignature, Tensor } from '../codec/tensor.js';
import type { RunTimes } from '../engine/statistics.js';
import { type PreparedRun, prepareRun } from './prepared-run.js';
import { cutRows, joinKey, joinRows, rowsOf } from './row-batch.js';
import type { SeenTensors, TensorWatch } from './tensor-watch.js';
import type { BodyRequest, ModelIdentity } from './worker-protocol.js';

export interface RunnableModel {
  readonly signature: ModelSignature;
  /** Rows in one run at most; 0: requests are never joined. */
  readonly maxBatchRows: number;
  /** Absent where nobody wants to know what its tensors are like. */
  readonly watch?: TensorWatch | undefined;
  /** @throws AppError `score.failed` */
  run(inputs: readonly Tensor[], outputs: readonly string[]): Tensor[] | Promise<Tensor[]>;
}

export type GroupAnswer =
  | { readonly ok: true; readonly response: EncodedResponse }
  | { readonly ok: false; readonly problem: Problem };

export interface GroupResult {
  /** One for each request, in their order. */
  readonly answers: readonly GroupAnswer[];
  readonly runs: readonly RunTimes[];
  /** Of requests that were looked at, where there are some. */
  readonly seen?: SeenTensors | undefined;
}

/** What is not an AppError is a bug, told to `onBug` and to the caller as `internal`. */
export type OnBug = (error: unknown) => void;

interface Parsed {
  readonly index: number;
  readonly prepared: PreparedRun;
  readonly rows: number | undefined;
  readonly parseNs: number;
}

export async function answerGroup(
  model: RunnableModel,
  identity: ModelIdentity,
  requests: readonly BodyRequest[],
  onBug: OnBug,
): Promise<GroupResult> {
  const answers = new Array<GroupAnswer>(requests.length);
  const runs: RunTimes[] = [];
  const refuse = (index: number, error: unknown): void => {
    if (!(error instanceof AppError)) onBug(error);
    answers[index] = { ok: false, problem: toProblem(error) };
  };

  const parsed: Parsed[] = [];
  for (const [index, request] of requests.entries()) {
    const started = performance.now();
    try {
      const prepared = prepareRun(model.signature, identity, request);
      const rows = model.maxBatchRows > 0 ? rowsOf(prepared.inputs) : undefined;
      parsed.push({ index, prepared, rows, parseNs: (performance.now() - started) * 1e6 });
    } catch (error) {
      refuse(index, error);
    }
  }

  for (const batch of batchesOf(parsed, model.maxBatchRows)) {
    const joined = batch.length > 1 ? await runJoined(model, batch, answers, runs, refuse) : false;
    if (joined) continue;
    for (const one of batch) await runAlone(model, one, answers, runs, refuse);
  }
  const seen = model.watch?.take();
  return seen ? { answers, runs, seen } : { answers, runs };
}

/** Those that can be joined, at most `maxRows` together; in the order in which they came. */
function batchesOf(parsed: readonly Parsed[], maxRows: number): Parsed[][] {
  const batches: Parsed[][] = [];
  const open = new Map<string, { readonly batch: Parsed[]; rows: number }>();
  for (const one of parsed) {
    if (one.rows === undefined || one.rows === 0 || one.rows >= maxRows || parsed.length === 1) {
      batches.push([one]);
      continue;
    }
    const key = joinKey(one.prepared.inputs);
    const current = open.get(key);
    if (current && current.rows + one.rows <= maxRows) {
      current.batch.push(one);
      current.rows += one.rows;
    } else {
      const batch = [one];
      batches.push(batch);
      open.set(key, { batch, rows: one.rows });
    }
  }
  return batches;
}

type Refuse = (index: number, error: unknown) => void;

async function runAlone(
  model: RunnableModel,
  { index, prepared, rows, parseNs }: Parsed,
  answers: GroupAnswer[],
  runs: RunTimes[],
  refuse: Refuse,
): Promise<void> {
  try {
    const started = performance.now();
    const outputs = await model.run(prepared.inputs, prepared.outputs);
    const ran = performance.now();
    answers[index] = { ok: true, response: prepared.encode(outputs) };
    model.watch?.offer(prepared.inputs, outputs);
    runs.push({
      rows: rows ?? 1,
      computeInputNs: parseNs,
      computeInferNs: (ran - started) * 1e6,
      computeOutputNs: (performance.now() - ran) * 1e6,
    });
  } catch (error) {
    refuse(index, error);
  }
}

/** The outputs that one request asked for, of all that were run for. */
function choose(outputs: readonly Tensor[], ran: readonly string[], asked: readonly string[]): readonly Tensor[] {
  if (asked.length === ran.length && asked.every((name, index) => name === ran[index])) return outputs;
  return asked.map((name) => {
    const tensor = outputs.find((output) => output.name === name);
    if (!tensor) throw new AppError('score.failed', `the model gave no output "${name}"`);
    return tensor;
  });
}

/** @returns false when it did not work together, and nothing was answered */
async function runJoined(
  model: RunnableModel,
  batch: readonly Parsed[],
  answers: GroupAnswer[],
  runs: RunTimes[],
  refuse: Refuse,
): Promise<boolean> {
  const started = performance.now();
  const rows = batch.map((one) => one.rows ?? 0);
  const wanted = [...new Set(batch.flatMap(({ prepared }) => prepared.outputs))];
  const inputs = joinRows(batch.map(({ prepared }) => prepared.inputs));
  const joinedAt = performance.now();
  let outputs: Tensor[];
  try {
    outputs = await model.run(inputs, wanted);
  } catch (error) {
    if (error instanceof AppError) return false;
    throw error;
  }
  const ranAt = performance.now();
  const cut = cutRows(outputs, rows);
  if (cut === undefined) return false;
  for (const [at, { index, prepared }] of batch.entries()) {
    try {
      answers[index] = { ok: true, response: prepared.encode(choose(cut[at] ?? [], wanted, prepared.outputs)) };
      model.watch?.offer(prepared.inputs, cut[at] ?? []);
    } catch (error) {
      refuse(index, error);
    }
  }
  runs.push({
    rows: rows.reduce((sum, count) => sum + count, 0),
    computeInputNs: batch.reduce((sum, one) => sum + one.parseNs, 0) + (joinedAt - started) * 1e6,
    computeInferNs: (ranAt - joinedAt) * 1e6,
    computeOutputNs: (performance.now() - ranAt) * 1e6,
  });
  return true;
}
