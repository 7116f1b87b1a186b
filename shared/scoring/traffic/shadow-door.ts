/**
 * The way to a shadow that runs in processes of its own: a copy goes over its Unix socket, to its script, or to
 * the host of its one model. Whatever becomes of those processes, the live version's goes on.
 */
import type { OutgoingHttpHeaders } from 'node:http';
import { AppError, type ErrorCode, isErrorCode } from '#shared/kernel/errors.js';
import type { EncodedResponse } from '../codec/infer-response.js';
import { jsonLengthHeader, jsonLengthOf } from '../codec/json-length.js';
import { problemHeader } from '../script-host/problem-header.js';
import { type ScriptAnswer, ScriptClient, type ScriptPath } from '../script-host/script-client.js';
import type { ShadowDoor } from './traffic-schema.js';

/** How long a model took over a copy, in milliseconds: without the way to it and back, as live runs are measured. */
export const ranHeader = 'flotilla-ran-ms';

/** Of a script's answer. */
export const maxScriptAnswerBytes = 1024 * 1024;
const maxModelAnswerBytes = 32 * 1024 * 1024;

/** An answer to a copy, and how long it took where the other side says so. */
export interface CopyAnswer extends EncodedResponse {
  readonly ranMs?: number;
}

export class OutsideShadow {
  private readonly client: ScriptClient;

  constructor(
    module: string,
    readonly door: ShadowDoor,
  ) {
    this.client = new ScriptClient(module, door.socket);
  }

  get script(): boolean {
    return this.door.by === 'script';
  }

  answerByScript(
    path: ScriptPath,
    headers: OutgoingHttpHeaders,
    requestId: string,
    body: Uint8Array,
  ): Promise<ScriptAnswer> {
    return this.client.post(path, { ...headers, 'x-request-id': requestId }, body);
  }

  /** @throws AppError as the other side says, or `score.not-ready` when it is gone */
  async answerByModel(path: ScriptPath, jsonLength: number | undefined, body: Uint8Array): Promise<CopyAnswer> {
    const lengths = jsonLength === undefined ? {} : { [jsonLengthHeader]: String(jsonLength) };
    const answer = await this.client.post(path, { 'content-length': String(body.length), ...lengths }, body);
    const bytes = await readAnswer(answer, maxModelAnswerBytes);
    if (answer.status !== 200) throw new AppError(codeIn(answer), `the shadow answered ${String(answer.status)}`);
    const length = jsonLengthOf(answer.headers);
    const ranMs = Number(answer.headers[ranHeader]);
    return {
      body: bytes,
      ...(length === undefined ? {} : { jsonLength: length }),
      ...(Number.isFinite(ranMs) && ranMs >= 0 ? { ranMs } : {}),
    };
  }
}

/** @throws AppError `score.failed` for more than is kept, and when it ends midway */
export async function readAnswer({ body }: ScriptAnswer, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += (chunk as Buffer).length;
    if (bytes > maxBytes) throw new AppError('score.failed', 'the shadow answered too much to keep');
    chunks.push(chunk as Buffer);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

function codeIn({ headers }: ScriptAnswer): ErrorCode {
  const code = headers[problemHeader];
  return typeof code === 'string' && isErrorCode(code) ? code : 'score.failed';
}
