/** One request from bytes to bytes: parse, check against the graph, run, encode. */
import { classify, countsRows } from '../codec/classification.js';
import {
  readInferRequest,
  requestFromJson,
  resolveInputs,
  resolveOutputs,
  type InferRequest,
} from '../codec/infer-request.js';
import { encodeInferResponse, type EncodedResponse } from '../codec/infer-response.js';
import { parseJsonText } from '../codec/json-text.js';
import { encodePredictResponse, readPredictRequest } from '../codec/predict-request.js';
import { encodePlainResponse, isInferRequest, readPlainRequest } from '../codec/plain-request.js';
import { readRawRequest } from '../codec/raw-request.js';
import type { Tensor } from '../codec/tensor.js';
import type { OnnxSession } from './onnx-session.js';
import type { RunRequest } from './worker-protocol.js';

/** @throws AppError `score.invalid-input`, `score.failed` */
export async function answerRun(session: OnnxSession, run: RunRequest): Promise<EncodedResponse> {
  const body = new Uint8Array(run.buffer, run.start, run.length);
  const all = session.signature.outputs.map(({ name }) => name);
  if (run.form === 'predict') {
    const { inputs, rows } = readPredictRequest(parseJsonText(body), session.signature);
    return { body: encodePredictResponse(await session.run(inputs, all), rows) };
  }
  if (run.jsonLength === 0) {
    const outputs = await session.run([readRawRequest(body, session.signature)], all);
    return encode(
      run,
      undefined,
      outputs.map((tensor) => ({ tensor, binary: true })),
    );
  }
  if (run.form === 'infer' || run.jsonLength !== undefined) {
    return answerInfer(session, run, readInferRequest(body, run.jsonLength));
  }
  const json = parseJsonText(body);
  if (isInferRequest(json.value)) return answerInfer(session, run, requestFromJson(json, undefined));
  const inputs = readPlainRequest(json, session.signature);
  return { body: encodePlainResponse(await session.run(inputs, all)) };
}

async function answerInfer(session: OnnxSession, run: RunRequest, request: InferRequest): Promise<EncodedResponse> {
  const wanted = resolveOutputs(request, session.signature);
  const inputs = resolveInputs(request.inputs, session.signature);
  const outputs = await session.run(
    inputs,
    wanted.map(({ name }) => name),
  );
  return encode(
    run,
    request.id,
    outputs.map((tensor, index) => ({
      tensor: classified(session, tensor, wanted[index]?.classes),
      binary: wanted[index]?.binary ?? false,
    })),
  );
}

function classified(session: OnnxSession, tensor: Tensor, classes: number | undefined): Tensor {
  return classes === undefined ? tensor : classify(tensor, classes, countsRows(session.signature, tensor));
}

function encode(
  run: RunRequest,
  id: string | undefined,
  outputs: readonly { readonly tensor: Tensor; readonly binary: boolean }[],
): EncodedResponse {
  return encodeInferResponse({ modelName: run.answerName, modelVersion: run.answerVersion, id, outputs });
}
