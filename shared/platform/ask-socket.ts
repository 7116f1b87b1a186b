/** One question in JSON over HTTP to a process of this machine, on its Unix socket. */
import { request } from 'node:http';
import { readBounded } from './bounded-body.js';

export interface SocketQuestion {
  readonly socketPath: string;
  readonly method: string;
  readonly path: string;
  /** Sent as JSON; undefined: none is sent. */
  readonly body?: unknown;
  /** Of silence. */
  readonly timeoutMs: number;
  /** Of the answer. */
  readonly maxBytes: number;
}

export interface SocketAnswer {
  readonly status: number;
  readonly bytes: Buffer<ArrayBuffer>;
}

/** Rejects with the error of the connection when there is no whole answer; what that means is the caller's to say. */
export function askSocket(question: SocketQuestion): Promise<SocketAnswer> {
  const { socketPath, method, path, body, timeoutMs, maxBytes } = question;
  const text = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const headers = text === undefined ? {} : { 'content-type': 'application/json', 'content-length': text.length };
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method, path, headers, agent: false }, (answer) => {
      const tooLarge = (): Error => new Error(`its answer has more than ${String(maxBytes)} bytes`);
      readBounded(answer, maxBytes, tooLarge).then(
        (bytes) => resolve({ status: answer.statusCode ?? 0, bytes }),
        (error: unknown) => reject(error as Error),
      );
    });
    asked.setTimeout(timeoutMs, () => asked.destroy(new Error(`nothing was heard for ${String(timeoutMs / 1000)} s`)));
    asked.on('error', reject);
    asked.end(text);
  });
}
