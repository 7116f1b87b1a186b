/** Sets the reader of plain requests before a server of Node's: connections come to it first. */
import type { Server } from 'node:http';
import { Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { systemClock } from '#shared/kernel/clock.js';
import type { ConnectionDrain } from '#shared/scoring/connection-drain.js';
import type { Caller } from './caller.js';
import { PlainConnection } from './plain-connection.js';
import { QuietSockets } from './quiet-sockets.js';

export interface PlainTimes {
  /** Told to clients. */
  readonly keepAliveSeconds: number;
  /** How long a connection rests at most: longer than what clients are told, so that none asks while it is being closed. */
  readonly restMs: number;
  /** How long is waited for what is due. */
  readonly awaitMs: number;
}

/** @returns to be called when the server has closed */
export function readPlain(
  server: Server | TlsServer,
  { keepAliveSeconds, restMs, awaitMs }: PlainTimes,
  drain: ConnectionDrain,
  handle: (caller: Caller) => void,
): () => void {
  const event = server instanceof TlsServer ? 'secureConnection' : 'connection';
  // Node's own, which it set when the server was made.
  const [toNode] = server.listeners(event);
  if (!toNode) return () => undefined;
  const monotonicMs = (): number => systemClock.monotonic();
  const resting = new QuietSockets(restMs, monotonicMs);
  const awaited = new QuietSockets(awaitMs, monotonicMs);
  const ports = {
    ...{ keepAliveSeconds, resting, awaited, handle },
    ends: () => drain.begun,
    requestBegan: () => drain.requestBegan(),
    requestEnded: () => drain.requestEnded(),
    handOver: (socket: Socket) => void toNode.call(server, socket),
  };
  server.off(event, toNode as () => void);
  server.on(event, (socket: Socket) => {
    // Rather than refuse those who come, let go who has been quiet the longest.
    if (drain.open >= server.maxConnections - spare) resting.closeOldest();
    new PlainConnection(socket, ports);
  });
  return () => {
    resting.end();
    awaited.end();
  };
}

const spare = 64;
