/** Answers one ModelInferRequest, counts it, and says on the answer what it came from: as `score-answer.ts` over HTTP. */
import { AppError, isErrorCode, toProblem } from '#shared/kernel/errors.js';
import { isObject } from '../codec/infer-request.js';
import type { EncodedResponse } from '../codec/infer-response.js';
import { keptWhole } from '../collect/collect-script.js';
import { jsonLengthHeader, jsonLengthOf } from '../codec/json-length.js';
import type { LoadedHostedModule } from '../host/hosted-module.js';
import type { ScoringHost } from '../host/scoring-host.js';
import { problemHeader } from '../script-host/problem-header.js';
import type { ScriptAnswer } from '../script-host/script-client.js';
import {
  deploymentHeader,
  pinOf,
  type RequestHeaders,
  routeKeyHeader,
  versionHeader,
} from '../traffic/request-origin.js';
import type { GrpcCall } from './grpc-call.js';
import { type AnswerMessage, answerMessageOf } from './infer-answer.js';
import { type InferBody, inferBodyOf, type InferMessage, integerParameter } from './infer-body.js';
import { modelInferRequest } from './messages.js';
import { decode } from './message-type.js';

/** @throws AppError `score.invalid-input`, `request.too-large` */
export function readInferMessage(host: ScoringHost, request: Uint8Array): InferMessage {
  return decode(modelInferRequest, request, host.maxBodyBytes);
}

/** @throws AppError what finding the model, reading the request or the run ended with */
export async function modelInfer(host: ScoringHost, message: InferMessage, call: GrpcCall): Promise<AnswerMessage> {
  const version = message.model_version === '' ? undefined : message.model_version;
  const module = host.route(message.model_name, version, routingOf(call));
  const startedMs = host.clock.monotonic();
  call.annotate(host.provenance(module));
  try {
    const answer = await answerOf(host, module, message, call, startedMs);
    module.succeeded(host.clock.monotonic() - startedMs, host.clock.now());
    return finalMarked(message, answer);
  } catch (error) {
    module.failed(host.clock.monotonic() - startedMs, toProblem(error).code);
    throw error;
  }
}

async function answerOf(
  host: ScoringHost,
  module: LoadedHostedModule,
  message: InferMessage,
  call: GrpcCall,
  startedMs: number,
): Promise<AnswerMessage> {
  const priority = integerParameter(message.parameters, 'priority') ?? 0;
  const deadlineMs = earliest(call.deadlineMs, integerParameter(message.parameters, 'timeout'), startedMs);
  const request = inferBodyOf(message);
  const encoded = await host.bodies.withLength(request.body.length, () =>
    module.script
      ? answerByScript(host, module, request, call)
      : host.answer(module, {
          form: 'infer',
          ...request,
          abandoned: () => call.abandoned(),
          origin: {
            requestId: call.requestId,
            pinned: message.model_version !== '' || pinOf(routingOf(call)) !== undefined,
          },
          ...(priority === 0 ? {} : { priority }),
          ...(deadlineMs === undefined ? {} : { deadlineMs }),
        }),
  );
  return answerMessageOf(encoded);
}

/** Metadata that says which version is to answer, as headers do over HTTP. */
function routingOf(call: GrpcCall): RequestHeaders {
  return Object.fromEntries([versionHeader, deploymentHeader, routeKeyHeader].map((name) => [name, call.header(name)]));
}

async function answerByScript(
  host: ScoringHost,
  module: LoadedHostedModule,
  { body, jsonLength }: InferBody,
  call: GrpcCall,
): Promise<EncodedResponse> {
  const headers = {
    'content-type': 'application/octet-stream',
    'content-length': String(body.length),
    [jsonLengthHeader]: String(jsonLength),
  };
  const bytes = new Uint8Array(body.buffer, body.start, body.length);
  const sample = host.traffic.collecting?.sampleScript(module, call.requestId);
  const input = sample && keptWhole(bytes);
  const answer = await module.answerByScript('/infer', headers, call.requestId, bytes);
  const chunks: Buffer[] = [];
  for await (const chunk of answer.body) chunks.push(chunk as Buffer);
  const answered = new Uint8Array(Buffer.concat(chunks));
  if (answer.status !== 200) throw scriptProblem(answer, answered);
  if (input) sample?.done(input, keptWhole(answered));
  const answeredJson = jsonLengthOf(answer.headers);
  return answeredJson === undefined ? { body: answered } : { body: answered, jsonLength: answeredJson };
}

function scriptProblem(answer: ScriptAnswer, body: Uint8Array): AppError {
  const code = answer.headers[problemHeader];
  const text = new TextDecoder().decode(body);
  let message = text;
  try {
    const json: unknown = JSON.parse(text);
    if (isObject(json) && typeof json['error'] === 'string') message = json['error'];
  } catch {
    // Not ours, and told as it is.
  }
  return new AppError(typeof code === 'string' && isErrorCode(code) ? code : 'score.failed', message);
}

/** @param timeoutUs the protocol's request parameter; 0: none */
function earliest(callMs: number | undefined, timeoutUs: number | undefined, nowMs: number): number | undefined {
  const ownMs = timeoutUs === undefined || timeoutUs === 0 ? Number.POSITIVE_INFINITY : nowMs + timeoutUs / 1000;
  const first = Math.min(ownMs, callMs ?? Number.POSITIVE_INFINITY);
  return Number.isFinite(first) ? first : undefined;
}

/** A client of streams may ask to be told which answer is a request's last: here, each is. */
function finalMarked({ parameters }: InferMessage, answer: AnswerMessage): AnswerMessage {
  if (parameters.get('triton_enable_empty_final_response')?.bool_param !== true) return answer;
  const marked = new Map(answer.parameters).set('triton_final_response', { bool_param: true });
  return { ...answer, parameters: marked };
}
