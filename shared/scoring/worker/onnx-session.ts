/** One model in one session of onnxruntime, on the first execution provider that takes it. */
import type * as ort from 'onnxruntime-node';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { formatType, type ModelSignature, type Tensor } from '../codec/tensor.js';
import { fromOnnx, signatureOf, toOnnx } from './onnx-tensors.js';
import { chooseSession } from './provider-choice.js';
import type { LoadedWorkerModel, WorkerModel } from './worker-protocol.js';

/**
 * One thread per session: workers are the unit of parallelism, and a pool of threads as large as the
 * machine in each of them is slower. No spinning: a waiting thread must not take a core from the others.
 */
const threading: ort.InferenceSession.SessionOptions = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  logSeverityLevel: 3,
  extra: { session: { intra_op: { allow_spinning: '0' }, inter_op: { allow_spinning: '0' } } },
};

export class OnnxSession {
  private constructor(
    private readonly session: ort.InferenceSession,
    readonly loaded: LoadedWorkerModel,
  ) {}

  /** @throws AppError `model.unloadable` when no provider takes the model */
  static async load(model: WorkerModel, accelerators: readonly string[]): Promise<OnnxSession> {
    const { session, ...choice } = await chooseSession(model, accelerators, threading);
    const signature = { inputs: signatureOf(session.inputMetadata), outputs: signatureOf(session.outputMetadata) };
    return new OnnxSession(session, { name: model.name, signature, ...choice });
  }

  get signature(): ModelSignature {
    return this.loaded.signature;
  }

  /**
   * @returns the named outputs, in that order
   * @throws AppError `score.failed`
   */
  async run(inputs: readonly Tensor[], outputs: readonly string[]): Promise<Tensor[]> {
    const feeds = Object.fromEntries(inputs.map((input) => [input.name, toOnnx(input)]));
    let results: ort.InferenceSession.OnnxValueMapType;
    try {
      results = await this.session.run(feeds, outputs);
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

  release(): Promise<void> {
    return this.session.release();
  }
}
