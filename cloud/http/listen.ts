import type { Server } from 'node:net';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { errno } from '#shared/platform/atomic-file.js';

export interface Listening {
  readonly host: string;
  readonly port: number;
}

/**
 * @param setting the setting that chooses the port, for the message
 * @throws AppError `port.taken` naming the port and the setting
 */
export async function listenOn(server: Server, address: Listening, setting: string): Promise<Listening> {
  await new Promise<void>((resolve, reject) => {
    const failed = (error: Error): void => {
      server.removeListener('listening', listening);
      reject(bindError(error, address, setting));
    };
    const listening = (): void => {
      server.removeListener('error', failed);
      resolve();
    };
    server.once('error', failed);
    server.once('listening', listening);
    server.listen(address.port, address.host);
  });
  const bound = server.address();
  return { host: address.host, port: typeof bound === 'object' && bound !== null ? bound.port : address.port };
}

export function bindError(error: unknown, address: Listening, setting: string): AppError {
  const where = `${address.host}:${String(address.port)}`;
  const code = errno(error);
  if (code === 'EADDRINUSE') {
    return new AppError(
      'port.taken',
      `${where} is taken by another program: stop it, or set ${setting} to another port (0 picks a free one)`,
      { details: { port: address.port, setting }, cause: error },
    );
  }
  if (code === 'EACCES') {
    return new AppError('port.taken', `this user may not bind ${where}: set ${setting} to a port above 1023`, {
      details: { port: address.port, setting },
      cause: error,
    });
  }
  return new AppError('config.invalid', `cannot bind ${where} (${setting}): ${messageOf(error)}`, { cause: error });
}
