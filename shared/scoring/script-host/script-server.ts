/**
 * Answers for a module's script, on a Unix socket that only the scoring host uses.
 *
 * `/score`: the script gets parsed JSON (no content type, or a JSON one), else the bytes as a Uint8Array;
 * what it returns is sent as JSON, a Uint8Array as it is. `/infer`: it gets the parsed V2 request
 * `{id, inputs: [{name, datatype, shape, data}], outputs}` and returns `{outputs: [...]}` in the same
 * form, which is sent as the client asked, JSON or binary; anything else it returns is sent as JSON.
 * `/predict`: as `/score`, for the V1 protocol. An async iterable is sent as server-sent events.
 * What it throws is a 500 with its message, or the 4xx of the error's `statusCode`.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { AppError, messageOf, toProblem } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { BodyReader } from '../body-reader.js';
import { isObject, readInferRequest, type InferRequest } from '../codec/infer-request.js';
import { encodeInferResponse } from '../codec/infer-response.js';
import { jsonLengthHeader, jsonLengthOf } from '../codec/json-length.js';
import { parseJsonText } from '../codec/json-text.js';
import type { ScriptConfig } from '../host-protocol.js';
import { isAsyncIterable, sendEvents } from './event-stream.js';
import { methodHeader, problemHeader } from './problem-header.js';
import { toJson } from './script-json.js';
import { toTensor } from './tensor-input.js';
import type { UserScript } from './user-script.js';

export function createScriptServer(script: UserScript, config: ScriptConfig, log: Logger): Server {
  const bodies = new BodyReader(config.maxBodyBytes);
  return createServer({ noDelay: true }, (request, response) => {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    bodies
      .withBody(request, 0, (body) => {
        const bytes = new Uint8Array(body.buffer, body.start, body.length);
        const call: Call = { script, config, request, signal: gone.signal };
        return request.url === '/infer' ? infer(call, bytes, jsonLengthOf(request.headers)) : score(call, bytes);
      })
      .then(async (answer) => {
        if ('events' in answer) {
          const failure = await sendEvents(answer.events, response, scriptFailure);
          if (failure) logged(failure, request, log);
          return;
        }
        response.writeHead(200, { ...answer.headers, 'content-length': answer.body.byteLength });
        response.end(answer.body);
      })
      .catch((error: unknown) => fail(logged(error, request, log), request, response));
  });
}

interface Call {
  readonly script: UserScript;
  readonly config: ScriptConfig;
  readonly request: IncomingMessage;
  /** Aborted when the client has left, or the answer was sent. */
  readonly signal: AbortSignal;
}

interface Answer {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

interface Events {
  readonly events: AsyncIterable<unknown>;
}

async function score(call: Call, body: Uint8Array<ArrayBuffer>): Promise<Answer | Events> {
  const type = call.request.headers['content-type'];
  const json = type === undefined || /^(?:application|text)\/(?:[a-z0-9.+-]+\+)?json(?:\s*;|$)/i.test(type);
  const result = await run(call, json ? parseJsonText(body).value : body);
  if (isAsyncIterable(result)) return { events: result };
  if (result instanceof Uint8Array) return { headers: { 'content-type': 'application/octet-stream' }, body: result };
  return jsonAnswer(result);
}

async function infer(call: Call, body: Uint8Array<ArrayBuffer>, jsonLength: number | undefined): Promise<Answer> {
  const { config } = call;
  const read = readInferRequest(body, jsonLength);
  const inputs = read.inputs.map((input) => ({ ...input, data: input.data() }));
  const result = await run(call, { id: read.id, inputs, outputs: read.outputs });
  if (isAsyncIterable(result)) {
    throw new AppError('score.failed', 'the script streams, which V2 has no form for: ask it at /score');
  }
  if (!isObject(result) || !Array.isArray(result['outputs'])) return jsonAnswer(result);
  const outputs = result['outputs'].map((output: unknown) => {
    const tensor = namedTensor(output);
    return { tensor, binary: wantsBinary(read, tensor.name) };
  });
  const encoded = encodeInferResponse({
    modelName: config.name,
    modelVersion: String(config.version),
    id: read.id,
    outputs,
  });
  const headers: Record<string, string> =
    encoded.jsonLength === undefined
      ? { 'content-type': 'application/json' }
      : { 'content-type': 'application/octet-stream', [jsonLengthHeader]: String(encoded.jsonLength) };
  return { headers, body: encoded.body };
}

async function run({ script, request, signal }: Call, input: unknown): Promise<unknown> {
  const { [methodHeader]: method, ...headers } = request.headers;
  const id = headers['x-request-id'];
  try {
    return await script.run(input, {
      id: typeof id === 'string' ? id : '',
      method: typeof method === 'string' ? method : 'POST',
      headers,
      signal,
    });
  } catch (error) {
    throw scriptFailure(error);
  }
}

function scriptFailure(error: unknown): AppError {
  if (error instanceof AppError) return error;
  const status: unknown = isObject(error) || error instanceof Error ? Reflect.get(error, 'statusCode') : undefined;
  const clientsFault = typeof status === 'number' && status >= 400 && status < 500;
  return new AppError(clientsFault ? 'score.invalid-input' : 'score.failed', messageOf(error), {
    cause: error,
    details: clientsFault ? { status } : {},
  });
}

function namedTensor(output: unknown): ReturnType<typeof toTensor> {
  const name = isObject(output) ? output['name'] : undefined;
  if (!isObject(output) || typeof name !== 'string')
    throw new AppError('score.failed', 'the script returned an output without a name');
  try {
    return toTensor(name, output);
  } catch (error) {
    throw new AppError('score.failed', `the script returned a bad output: ${messageOf(error)}`, { cause: error });
  }
}

function wantsBinary(request: InferRequest, name: string): boolean {
  return request.outputs?.find((output) => output.name === name)?.binary ?? request.binaryOutputs;
}

function jsonAnswer(result: unknown): Answer {
  return { headers: { 'content-type': 'application/json' }, body: Buffer.from(toJson(result)) };
}

function logged<E>(error: E, request: IncomingMessage, log: Logger): E {
  const { code, message } = toProblem(error);
  if (code === 'internal' || code === 'score.failed')
    log.error({ err: error, requestId: request.headers['x-request-id'] }, message);
  return error;
}

function fail(error: unknown, request: IncomingMessage, response: ServerResponse): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { code, message, details } = toProblem(error);
  const status = details?.['status'] ?? (error instanceof AppError ? error.traits.status : 500);
  response.writeHead(typeof status === 'number' ? status : 500, {
    'content-type': 'application/json',
    [problemHeader]: code,
  });
  response.end(JSON.stringify(request.url === '/score' ? { message } : { error: message }));
}
