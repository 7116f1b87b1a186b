/** The body of one request as that of another. */
import type { ClientRequest } from 'node:http';
import type { Readable } from 'node:stream';

/**
 * Like `pipe`, but the last bytes and the end are one write. A server that has read all it needs may
 * answer and close between the two, and the empty write that would follow fails with EPIPE, which costs
 * us its answer.
 */
export function pumpBody(body: Readable, request: ClientRequest): void {
  let held: Buffer | undefined;
  body.on('data', (chunk: Buffer) => {
    if (held && !request.write(held)) {
      body.pause();
      request.once('drain', () => body.resume());
    }
    held = chunk;
  });
  body.once('end', () => request.end(held));
  body.once('error', (error) => request.destroy(error));
}
