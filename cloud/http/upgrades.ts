import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { App, Upgrade } from './app.js';

/** Hands each upgrade to the path that takes it; any other is answered in HTTP, and its connection ends. */
export function addUpgrades(app: App, upgrades: readonly Upgrade[]): void {
  if (upgrades.length === 0) return;
  app.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', (error) => app.log.debug({ err: error }, 'a connection broke at its upgrade'));
    const path = (request.url ?? '').split('?', 1)[0];
    const upgrade = upgrades.find((one) => one.path === path);
    if (upgrade) upgrade.handle(request, socket, head);
    else socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
  });
}
