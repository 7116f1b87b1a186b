/** One model in one session of onnxruntime, on the first execution provider that takes it. */
import type * as ort from 'onnxruntime-node';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { formatType, type ModelSignature, type Tensor } from '../codec/tensor.js';
import type { ScoringOptions } from '#shared/package/scoring-options.js';
import { fromOnnx, modelSignature, toOnnx } from './onnx-tensors.js';
import type { RunnableModel } from './answer-group.js';
import { chooseSession } from './provider-choice.js';
import { openSync, type SyncRun } from './sync-run.js';
import { TensorWatch } from './tensor-watch.js';
import { tryModel } from './model-trial.js';
import type { LoadedWorkerModel, ModelTraits, WorkerModel } from './worker-protocol.js';

/**
 * One thread per session unless the module says otherwise: workers are the unit of parallelism, and a pool
 * of threads as large as the machine in each of them is slower. No spinning: a waiting thread must not take
 * a core from the others.
 */
function sessionOptions({ session }: ScoringOptions): ort.InferenceSession.SessionOptions {
  return {
    intraOpNumThreads: session.intraOpThreads,
    interOpNumThreads: session.interOpThreads,
    graphOptimizationLevel: session.optimization,
    executionMode: session.execution,
    enableMemPattern: session.memoryPattern,
    enableCpuMemArena: session.arena,
    logSeverityLevel: 3,
    extra: { session: { intra_op: { allow_spinning: '0' }, inter_op: { allow_spinning: '0' } } },
  };
}

export class OnnxSession implements RunnableModel {
  private constructor(
    private readonly session: ort.InferenceSession,
    private readonly runNow: SyncRun | undefined,
    readonly loaded: LoadedWorkerModel,
    readonly watch: TensorWatch | undefined,
  ) {}

  /** @throws AppError `model.unloadable` when no provider takes the model */
  static async load(
    model: WorkerModel,
    accelerators: readonly string[],
    options: ScoringOptions,
    traits?: ModelTraits,
  ): Promise<OnnxSession> {
    const { session, ...choice } = await chooseSession(model, accelerators, sessionOptions(options));
    const signature = modelSignature(session);
    const runNow = openSync(session);
    const known =
      traits ??
      (await tryModel(
        (...run) => runSession(session, runNow, ...run),
        signature,
        options,
        () => performance.now(),
      ));
    const watch = TensorWatch.of(options.telemetry, model.name, () => performance.now());
    return new OnnxSession(session, runNow, { name: model.name, signature, ...choice, traits: known }, watch);
  }

  get signature(): ModelSignature {
    return this.loaded.signature;
  }

  /** Whether a run is over when `run` returns: only then may it be done on a thread that does other things. */
  get isSynchronous(): boolean {
    return this.runNow !== undefined;
  }

  get maxBatchRows(): number {
    return this.loaded.traits.maxBatchRows;
  }

  /**
   * @returns the named outputs, in that order
   * @throws AppError `score.failed`
   */
  run(inputs: readonly Tensor[], outputs: readonly string[]): Promise<Tensor[]> {
    return runSession(this.session, this.runNow, inputs, outputs);
  }

  release(): Promise<void> {
    return this.session.release();
  }
}

async function runSession(
  session: ort.InferenceSession,
  runNow: SyncRun | undefined,
  inputs: readonly Tensor[],
  outputs: readonly string[],
): Promise<Tensor[]> {
  const feeds = Object.fromEntries(inputs.map((input) => [input.name, toOnnx(input)]));
  let results: Readonly<Record<string, ort.OnnxValue>>;
  try {
    results = runNow ? runNow(feeds, outputs) : await session.run(feeds, outputs);
  } catch (error) {
    const got = inputs.map(({ name, datatype, shape }) => `"${name}" ${formatType(datatype, shape)}`).join(', ');
    throw new AppError('score.failed', `the model failed on ${got}: ${messageOf(error)}`, { cause: error });
  }
  return outputs.map((name) => {
    const value = results[name];
    if (!value) throw new AppError('score.failed', `the model gave no output "${name}"`);
    return fromOnnx(name, value);
  });
}
