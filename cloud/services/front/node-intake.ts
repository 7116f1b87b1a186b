/** Requests that Node's server reads, one of a connection at a time, in the order in which they came. */
import type { RequestListener, Server, ServerResponse } from 'node:http';
import type { Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Caller } from './caller.js';
import { NodeCaller } from './node-caller.js';

export function readByNode(server: Server | TlsServer, handle: (caller: Caller) => void): void {
  const latest = new WeakMap<Socket, ServerResponse>();
  const inTurn: RequestListener = (request, response) => {
    const { socket } = request;
    const before = latest.get(socket);
    latest.set(socket, response);
    const go = (): void => handle(new NodeCaller(request, response));
    // Node would have several that a client sends at once worked on side by side.
    if (!before || before.closed) go();
    else
      before.once('close', () => {
        if (!socket.destroyed) go();
      });
  };
  server.on('request', inTurn);
  // Whether the body is wanted is decided there.
  server.on('checkContinue', inTurn);
}
