/** What one request asks of a model, read from its bytes, and how its answer is to be written. */
import { classify, countsRows } from '../codec/classification.js';
import { readInferRequest, resolveInputs, resolveOutputs, type InferRequest } from '../codec/infer-request.js';
import { encodeInferResponse, type EncodedResponse } from '../codec/infer-response.js';
import { parseJsonText } from '../codec/json-text.js';
import { encodePredictResponse, readPredictRequest } from '../codec/predict-request.js';
import { readRawRequest } from '../codec/raw-request.js';
import { encodePlainResponse, readScoreRequest } from '../codec/plain-request.js';
import type { ModelSignature, Tensor } from '../codec/tensor.js';
import type { BodyRequest, ModelIdentity } from './worker-protocol.js';

export interface PreparedRun {
  /** All inputs, in the graph's order. */
  readonly inputs: readonly Tensor[];
  /** Names of the outputs that are asked for. */
  readonly outputs: readonly string[];
  /** The answer, from those outputs in that order. */
  readonly encode: (outputs: readonly Tensor[]) => EncodedResponse;
}

/** @throws AppError `score.invalid-input` */
export function prepareRun(signature: ModelSignature, model: ModelIdentity, request: BodyRequest): PreparedRun {
  const body = new Uint8Array(request.buffer, request.start, request.length);
  const all = signature.outputs.map(({ name }) => name);
  if (request.form === 'predict') {
    const { inputs, rows } = readPredictRequest(parseJsonText(body), signature);
    return { inputs, outputs: all, encode: (outputs) => ({ body: encodePredictResponse(outputs, rows) }) };
  }
  if (request.jsonLength === 0) {
    return {
      inputs: [readRawRequest(body, signature)],
      outputs: all,
      encode: (outputs) =>
        encode(
          model,
          undefined,
          outputs.map((tensor) => ({ tensor, binary: true })),
        ),
    };
  }
  if (request.form === 'infer' || request.jsonLength !== undefined) {
    return prepareInfer(signature, model, readInferRequest(body, request.jsonLength));
  }
  const score = readScoreRequest(body, signature);
  if (score.form === 'infer') return prepareInfer(signature, model, score.request);
  return {
    inputs: score.inputs,
    outputs: all,
    encode: (outputs) => ({ body: encodePlainResponse(outputs) }),
  };
}

function prepareInfer(signature: ModelSignature, model: ModelIdentity, request: InferRequest): PreparedRun {
  const wanted = resolveOutputs(request, signature);
  return {
    inputs: resolveInputs(request.inputs, signature),
    outputs: wanted.map(({ name }) => name),
    encode: (outputs) =>
      encode(
        model,
        request.id,
        outputs.map((tensor, index) => ({
          tensor: classified(signature, tensor, wanted[index]?.classes),
          binary: wanted[index]?.binary ?? false,
        })),
      ),
  };
}

function classified(signature: ModelSignature, tensor: Tensor, classes: number | undefined): Tensor {
  return classes === undefined ? tensor : classify(tensor, classes, countsRows(signature, tensor));
}

function encode(
  { answerName, answerVersion }: ModelIdentity,
  id: string | undefined,
  outputs: readonly { readonly tensor: Tensor; readonly binary: boolean }[],
): EncodedResponse {
  return encodeInferResponse({ modelName: answerName, modelVersion: answerVersion, id, outputs });
}
