/** One request from bytes to bytes: parse, check against the graph, run, encode. */
import {
  readInferRequest,
  requestFromJson,
  resolveInputs,
  resolveOutputs,
  type InferRequest,
} from '../codec/infer-request.js';
import { encodeInferResponse, type EncodedResponse } from '../codec/infer-response.js';
import { parseJsonText } from '../codec/json-text.js';
import { encodePlainResponse, isInferRequest, readPlainRequest } from '../codec/plain-request.js';
import type { OnnxSession } from './onnx-session.js';
import type { RunRequest } from './worker-protocol.js';

/** @throws AppError `score.invalid-input`, `score.failed` */
export async function answerRun(session: OnnxSession, run: RunRequest): Promise<EncodedResponse> {
  const body = new Uint8Array(run.buffer, run.start, run.length);
  if (run.form === 'infer' || run.jsonLength !== undefined) {
    return answerInfer(session, run, readInferRequest(body, run.jsonLength));
  }
  const json = parseJsonText(body);
  if (isInferRequest(json.value)) return answerInfer(session, run, requestFromJson(json, undefined));
  const inputs = readPlainRequest(json, session.signature);
  const outputs = await session.run(
    inputs,
    session.signature.outputs.map(({ name }) => name),
  );
  return { body: encodePlainResponse(outputs) };
}

async function answerInfer(session: OnnxSession, run: RunRequest, request: InferRequest): Promise<EncodedResponse> {
  const wanted = resolveOutputs(request, session.signature);
  const inputs = resolveInputs(request.inputs, session.signature);
  const outputs = await session.run(
    inputs,
    wanted.map(({ name }) => name),
  );
  return encodeInferResponse({
    modelName: run.answerName,
    modelVersion: run.answerVersion,
    id: request.id,
    outputs: outputs.map((tensor, index) => ({ tensor, binary: wanted[index]?.binary ?? false })),
  });
}
