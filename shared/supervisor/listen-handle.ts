/**
 * A TCP socket that is bound but on which this process never accepts. It is sent to one scoring host
 * after another; between two of them new connections wait in its backlog, and none is refused.
 *
 * Node has no public way to make one: a `net.Server` that is sent to a child goes on accepting in the
 * parent, and loses what it accepts. `net._createServerHandle` is what `cluster` itself uses; it is
 * typed here as narrowly as we need it, and its absence is an error that says so.
 */
import { chmodSync, rmSync } from 'node:fs';
import * as net from 'node:net';
import type { SendHandle } from 'node:child_process';
import { AppError } from '#shared/kernel/errors.js';

export interface ListenHandle {
  readonly port: number;
  /** For `ScoringHostProcess.listen`. */
  readonly handle: SendHandle;
  /** Gives the port back, once no host holds the handle either. */
  close(): void;
}

interface TcpHandle {
  /** 0, or the negative error number of a bind that the event loop reports late. */
  getsockname(out: { address?: string; port?: number }): number;
  close(): void;
}

type CreateServerHandle = (address: string, port: number, addressType: 4 | 6 | -1) => number | TcpHandle;

/** A Unix socket that is bound but not listened on, for a child to serve. */
export interface SocketHandle {
  readonly handle: SendHandle;
  /** Removes the path as well: who connects from then on finds nothing there. */
  close(): void;
}

/** What the kernel's address structure holds, with its final null. */
const maxSocketPathBytes = 107;

/** EADDRINUSE, as Linux, macOS and Windows number it. */
const addressInUse = [-98, -48, -4091];

/**
 * @param address an IP address: a name such as `localhost` may be two addresses, hence two sockets
 * @param port 0 picks a free one
 * @throws AppError `port.taken`, `config.invalid`
 */
export function bindHandle(address: string, port: number): ListenHandle {
  const family = net.isIP(address);
  if (family !== 4 && family !== 6) {
    throw new AppError('config.invalid', `cannot listen on "${address}": give an IP address, for example 127.0.0.1`);
  }
  const created = createServerHandle()(address, port, family);
  if (typeof created === 'number') throw bindFailure(address, port, created);
  const bound: { port?: number } = {};
  const failure = created.getsockname(bound);
  if (failure !== 0 || bound.port === undefined) {
    created.close();
    throw bindFailure(address, port, failure);
  }
  return { port: bound.port, handle: created as unknown as SendHandle, close: () => created.close() };
}

/**
 * In place of what was there, and only for this user.
 *
 * @throws AppError `config.invalid`, `process.failed`
 */
export function bindSocket(path: string): SocketHandle {
  if (Buffer.byteLength(path) > maxSocketPathBytes) {
    throw new AppError(
      'config.invalid',
      `the socket path ${path} is longer than ${String(maxSocketPathBytes)} bytes: choose a shorter state folder`,
    );
  }
  rmSync(path, { force: true });
  const created = createServerHandle()(path, -1, -1);
  if (typeof created === 'number') {
    throw new AppError('process.failed', `cannot make the socket ${path} (error ${String(created)})`);
  }
  chmodSync(path, 0o600);
  return { handle: created as unknown as SendHandle, close: () => created.close() };
}

function createServerHandle(): CreateServerHandle {
  const internal: unknown = Reflect.get(net, '_createServerHandle');
  if (typeof internal !== 'function') {
    throw new AppError('process.failed', `Node ${process.version} cannot bind a port for a child process to serve`);
  }
  return internal as CreateServerHandle;
}

function bindFailure(address: string, port: number, errorNumber: number): AppError {
  if (addressInUse.includes(errorNumber)) return portTaken(address, port);
  return new AppError(
    'port.taken',
    `cannot listen on ${address} port ${String(port)} (error ${String(errorNumber)}): choose an address of this machine and a port that this user may bind`,
    { details: { address, port } },
  );
}

function portTaken(address: string, port: number): AppError {
  return new AppError(
    'port.taken',
    `port ${String(port)} on ${address} is taken by another process: stop it, or choose another port (0 picks a free one)`,
    { details: { address, port } },
  );
}
