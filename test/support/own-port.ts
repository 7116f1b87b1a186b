import { createServer } from 'node:net';

/** Below the range from which systems pick ports for connections and for listeners that name none. */
const lowest = 10_000;
const block = 32;
const blocks = 700;
/** Coprime with the number of blocks, so that neighbouring process numbers get blocks of their own. */
const stride = 219;

let given = 0;

/**
 * A TCP port of 127.0.0.1 for a program that is started later, or more than once. Each test process takes
 * its own from a block of its own: a port that the system picked could be another's by then.
 */
export async function ownPort(): Promise<number> {
  const first = lowest + ((process.pid * stride) % blocks) * block;
  for (let tried = 0; tried < block; tried++) {
    const port = first + (given++ % block);
    if (await isFree(port)) return port;
  }
  throw new Error(`none of the ports ${String(first)} to ${String(first + block - 1)} of 127.0.0.1 is free`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
