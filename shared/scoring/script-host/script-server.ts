/**
 * Answers for a module's script, on a Unix socket that only the scoring host uses.
 *
 * `/score`: the script gets parsed JSON (no content type, or a JSON one), else the bytes as a Uint8Array;
 * what it returns is sent as JSON, a Uint8Array as it is. `/infer`: it gets the parsed V2 request
 * `{id, inputs: [{name, datatype, shape, data}], outputs}` and returns `{outputs: [...]}` in the same
 * form, which is sent as the client asked, JSON or binary; anything else it returns is sent as JSON.
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
import { problemHeader } from './problem-header.js';
import { toTensor } from './tensor-input.js';
import type { UserScript } from './user-script.js';

export function createScriptServer(script: UserScript, config: ScriptConfig, log: Logger): Server {
  const bodies = new BodyReader(config.maxBodyBytes);
  return createServer({ noDelay: true }, (request, response) => {
    const jsonLength = (): number | undefined => jsonLengthOf(request.headers);
    bodies
      .withBody(request, 0, (body) => {
        const bytes = new Uint8Array(body.buffer, body.start, body.length);
        return request.url === '/infer'
          ? infer(script, config, request, bytes, jsonLength())
          : score(script, request, bytes);
      })
      .then(
        (answer) => {
          response.writeHead(200, { ...answer.headers, 'content-length': answer.body.byteLength });
          response.end(answer.body);
        },
        (error: unknown) => fail(error, request, response, log),
      );
  });
}

interface Answer {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

async function score(script: UserScript, request: IncomingMessage, body: Uint8Array<ArrayBuffer>): Promise<Answer> {
  const type = request.headers['content-type'];
  const json = type === undefined || /^(?:application|text)\/(?:[a-z0-9.+-]+\+)?json(?:\s*;|$)/i.test(type);
  const result = await run(script, request, json ? parseJsonText(body).value : body);
  if (result instanceof Uint8Array) return { headers: { 'content-type': 'application/octet-stream' }, body: result };
  return jsonAnswer(result);
}

async function infer(
  script: UserScript,
  config: ScriptConfig,
  request: IncomingMessage,
  body: Uint8Array<ArrayBuffer>,
  jsonLength: number | undefined,
): Promise<Answer> {
  const read = readInferRequest(body, jsonLength);
  const inputs = read.inputs.map((input) => ({ ...input, data: input.data() }));
  const result = await run(script, request, { id: read.id, inputs, outputs: read.outputs });
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

async function run(script: UserScript, request: IncomingMessage, input: unknown): Promise<unknown> {
  const id = request.headers['x-request-id'];
  try {
    return await script.run(input, { id: typeof id === 'string' ? id : '', headers: request.headers });
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
  let text: string | undefined;
  try {
    text = JSON.stringify(result ?? null, plain);
  } catch (error) {
    throw new AppError('score.failed', `the script returned what JSON cannot carry: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return { headers: { 'content-type': 'application/json' }, body: Buffer.from(text ?? 'null') };
}

/** Typed arrays as arrays; 64-bit integers as numbers where these are exact, else as text. */
function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (ArrayBuffer.isView(value) && !(value instanceof DataView))
    return Array.from(value as unknown as ArrayLike<unknown>);
  return value;
}

function fail(error: unknown, request: IncomingMessage, response: ServerResponse, log: Logger): void {
  const { code, message, details } = toProblem(error);
  if (code === 'internal' || code === 'score.failed')
    log.error({ err: error, requestId: request.headers['x-request-id'] }, message);
  const status = details?.['status'] ?? (error instanceof AppError ? error.traits.status : 500);
  response.writeHead(typeof status === 'number' ? status : 500, {
    'content-type': 'application/json',
    [problemHeader]: code,
  });
  response.end(JSON.stringify(request.url === '/infer' ? { error: message } : { message }));
}
