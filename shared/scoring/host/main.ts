/** The entry of a scoring host: a child process that its owner speaks to over the IPC channel. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { systemClock } from '#shared/kernel/clock.js';
import { errno } from '#shared/platform/atomic-file.js';
import { createLogger } from '#shared/platform/logger.js';
import { usableCores } from '#shared/platform/usable-cores.js';
import type { FromScoringHost, ToScoringHost } from '../host-protocol.js';
import { WorkerThreads } from '../engine/worker-threads.js';
import { HostProcess } from './host-process.js';

/** How long what is under way may take once the owner is gone. */
const orphanGraceMs = 5000;

const log = createLogger('scoring-host', { level: process.env['FLOTILLA_LOG_LEVEL'] ?? 'info', pretty: false });

// No file that we make is for anyone else.
process.umask(0o077);

const host = new HostProcess({
  clock: systemClock,
  log,
  newId: randomUUID,
  random: Math.random,
  version: programVersion(),
  workerThreads: new WorkerThreads(new URL('../worker/main.js', import.meta.url)),
  onCrash: crash,
  onBug: (error) => log.error({ err: error }, 'a request failed by a bug of ours'),
  cores: usableCores(),
  send,
  exit: (code) => process.exit(code),
});

process.on('message', (message: ToScoringHost, handle: unknown) => {
  host.handle(message, handle).catch(crash);
});
process.on('disconnect', orphaned);
// It may have ended while this program was loaded.
if (!process.connected) orphaned();
// A terminal's Ctrl-C and a service manager's stop reach every process of the group; when this one
// ends is its owner's to say, whose own end it notices.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);

function orphaned(): void {
  host.ownerGone(orphanGraceMs).catch(crash);
}

/** A bug. Other workers may be busy, and an ordinary exit would wait for or abort them. */
function crash(error: unknown): void {
  log.fatal({ err: error }, 'the scoring host cannot go on');
  process.kill(process.pid, 'SIGKILL');
}

function send(message: FromScoringHost): Promise<void> {
  return new Promise((resolve) => {
    if (!process.send || !process.connected) {
      resolve();
      return;
    }
    process.send(message, undefined, {}, () => resolve());
  });
}

/** From the package that this file is part of; a bundle may stand alone. */
function programVersion(): string {
  try {
    const text = readFileSync(new URL('../../../../package.json', import.meta.url), 'utf8');
    const { version } = JSON.parse(text) as { version?: string };
    return version ?? 'unknown';
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw error;
    return 'unknown';
  }
}
