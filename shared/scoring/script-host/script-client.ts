/**
 * How the scoring host reaches a module's script: HTTP on the script host's Unix socket, bodies streamed.
 * A connection per request: a kept one may belong to a script host that was just replaced.
 */
import * as http from 'node:http';
import type { Readable } from 'node:stream';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { pumpBody } from '../pump-body.js';

export interface ScriptAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: http.IncomingMessage;
}

export type ScriptPath = '/score' | '/infer' | '/predict';

export class ScriptClient {
  constructor(
    private readonly module: string,
    private readonly socketPath: string,
  ) {}

  /**
   * @param body streamed, or sent as it is
   * @param signal gives the script up, until its status has come
   * @throws AppError `score.not-ready` when the script host cannot be reached, `score.failed` when it ended midway
   */
  post(
    path: ScriptPath,
    headers: http.OutgoingHttpHeaders,
    body: Readable | Uint8Array,
    signal?: AbortSignal,
  ): Promise<ScriptAnswer> {
    return new Promise((resolve, reject) => {
      const request = http.request({ agent: false, socketPath: this.socketPath, method: 'POST', path, headers });
      const giveUp = (): void => void request.destroy();
      signal?.addEventListener('abort', giveUp, { once: true });
      request.once('response', (response) => {
        signal?.removeEventListener('abort', giveUp);
        resolve({ status: response.statusCode ?? 500, headers: response.headers, body: response });
      });
      request.once('error', (error) => {
        reject(this.unreachable(error));
      });
      if (body instanceof Uint8Array) {
        request.end(body);
        return;
      }
      pumpBody(body, request);
    });
  }

  private unreachable(error: Error): AppError {
    if (error instanceof AppError) return error;
    const code = 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ECONNREFUSED') {
      return new AppError('score.not-ready', `the script of module "${this.module}" is not running: try again shortly`);
    }
    return new AppError('score.failed', `the script of module "${this.module}" ended: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
