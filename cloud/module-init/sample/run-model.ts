/**
 * Runs a model once, on inputs that were given or are made up, and writes both sides as V2 bodies. Sizes
 * that a graph leaves free are tried from small to large until the model runs.
 */
import type * as ort from 'onnxruntime-node';
import { messageOf } from '#shared/kernel/errors.js';
import { readInferRequest, resolveInputs } from '#shared/scoring/codec/infer-request.js';
import { dataToJson } from '#shared/scoring/codec/json-data.js';
import { elementCount, type ModelSignature, type Tensor } from '#shared/scoring/codec/tensor.js';
import { madeUpInputs } from '#shared/scoring/worker/made-up-inputs.js';
import { fromOnnx, modelSignature, toOnnx } from '#shared/scoring/worker/onnx-tensors.js';
import type { Sample } from './protocol.js';

/** Of free dimensions after the first. */
const freeSizes = [1, 8, 16, 32, 64, 128, 224, 256, 512] as const;
/** More makes no vector that anyone would keep in a repository. */
const maxElements = 1_000_000;

/**
 * @param example a V2 request in JSON
 * @throws AppError for an example that the model does not take, or fails on
 */
export async function sampleOf(
  session: ort.InferenceSession,
  example: Uint8Array<ArrayBuffer> | undefined,
): Promise<Sample> {
  const signature = modelSignature(session);
  const { inputs, outputs, notServed = [] } = signature;
  const described = { inputs, outputs, notServed: notServed.map(({ reason }) => reason) };
  if (example !== undefined) {
    const given = resolveInputs(readInferRequest(example, undefined).inputs, signature);
    return { ...described, ...written(given, await run(session, signature, given)) };
  }
  let reason = 'its inputs are too large';
  for (const freeSize of freeSizes) {
    const row = madeUpInputs(inputs, { seed: 1, freeSize })?.map(shortened);
    if (row === undefined || row.some(({ shape }) => elementCount(shape) > maxElements)) break;
    try {
      return { ...described, ...written(row, await run(session, signature, row)) };
    } catch (error) {
      reason = messageOf(error);
    }
  }
  return { ...described, reason: `it does not run on made-up inputs: ${reason}` };
}

async function run(session: ort.InferenceSession, { outputs }: ModelSignature, inputs: readonly Tensor[]) {
  const feeds = Object.fromEntries(inputs.map((input) => [input.name, toOnnx(input)]));
  const names = outputs.map(({ name }) => name);
  const results = await session.run(feeds, names, { logSeverityLevel: 4 });
  return names.flatMap((name) => {
    const value = results[name];
    return value === undefined ? [] : [fromOnnx(name, value)];
  });
}

/** An output that JSON cannot carry (FP16, NaN) proves nothing and is left out. */
function written(inputs: readonly Tensor[], outputs: readonly Tensor[]): Pick<Sample, 'exchange' | 'reason'> {
  const reasons: string[] = [];
  const texts = (tensors: readonly Tensor[]): string[] =>
    tensors.flatMap((tensor) => {
      try {
        return [tensorText(tensor)];
      } catch (error) {
        reasons.push(messageOf(error));
        return [];
      }
    });
  const [request, response] = [texts(inputs), texts(outputs)];
  if (request.length < inputs.length || response.length === 0) return { reason: reasons.join('; ') };
  return {
    exchange: { request: `{"inputs":[${request.join(',')}]}`, response: `{"outputs":[${response.join(',')}]}` },
  };
}

function tensorText(tensor: Tensor): string {
  const { name, datatype, shape } = tensor;
  return `{"name":${JSON.stringify(name)},"datatype":"${datatype}","shape":[${shape.join(',')}],"data":${dataToJson(tensor)}}`;
}

/** Three digits are enough of a made-up number, and a tenth of the file. */
function shortened(tensor: Tensor): Tensor {
  if (tensor.datatype !== 'FP32' && tensor.datatype !== 'FP64') return tensor;
  const data = tensor.data as Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>;
  return { ...tensor, data: data.map((value) => Math.round(value * 1000) / 1000) };
}
