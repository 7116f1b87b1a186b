import { createServer } from 'node:net';

/** The preferred port when nobody listens on it, else one that the system picks. */
export async function freePort(
  preferred: number,
): Promise<{ readonly port: number; readonly preferredTaken: boolean }> {
  const first = await tryPort(preferred);
  if (first !== undefined) return { port: first, preferredTaken: false };
  const other = await tryPort(0);
  if (other === undefined) throw new Error('no free TCP port on 127.0.0.1');
  return { port: other, preferredTaken: true };
}

function tryPort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : undefined));
    });
  });
}
