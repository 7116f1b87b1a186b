/**
 * How a service host comes to run beside its control plane. Either the control plane starts it detached, or systemd
 * does, whose path unit waits for the configuration file: then it is no process of the control plane's unit, and a
 * restart of that one leaves it alone.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { messageOf } from '#shared/kernel/errors.js';
import { diskError } from '#shared/platform/atomic-file.js';
import { builtProgram } from '#cloud/lifecycle/built-program.js';
import type { About } from './control-protocol.js';
import { fingerprintOf, type HostConfig, logFileOf } from './host-config.js';

export type StartedBy = 'control-plane' | 'systemd';

/** One attempt to have it run. */
export interface HostStart {
  /** Whether who answers now is what was to be started. */
  isThere(about: About | undefined): boolean;
  /** Why it will not come any more; undefined while it may. */
  ended(): string | undefined;
  /** What a person who wants to know more reads. */
  trouble(): Promise<string>;
}

const shownLines = 5;

/** Its configuration is written: systemd needs no more. */
export function startedBySystemd(config: HostConfig): HostStart {
  const wanted = fingerprintOf(config);
  return {
    isThere: (about) => about?.configuration === wanted,
    ended: () => undefined,
    trouble: async () =>
      'systemd is to start it (services.startedBy): see systemctl status flotilla-services.path flotilla-services, and journalctl -u flotilla-services -n 20',
  };
}

/** @param program path; absent: the built one */
export function startDetached(config: HostConfig, configFile: string, program?: string): HostStart {
  const logFile = logFileOf(config);
  const child = spawnDetached(program ?? builtProgram('services/host/main.js'), configFile, logFile);
  let ended: string | undefined;
  child.once('error', (error) => (ended = messageOf(error)));
  child.once('exit', (code, signal) => (ended = `it ended with ${signal ?? `exit code ${String(code)}`}`));
  child.unref();
  return {
    isThere: (about) => about !== undefined && about.pid === child.pid,
    ended: () => ended,
    trouble: () => lastLines(logFile),
  };
}

/** With the path to find programs by, and nothing else of ours in its environment. */
function spawnDetached(program: string, configFile: string, logFile: string): ChildProcess {
  let log: number | undefined;
  try {
    log = openSync(logFile, 'a', 0o600);
    const path = process.env['PATH'];
    return spawn(process.execPath, [program, '--config', configFile], {
      detached: true,
      stdio: ['ignore', log, log],
      env: path === undefined ? {} : { PATH: path },
    });
  } catch (error) {
    throw diskError(error, `cannot start the service host with the log ${logFile}`);
  } finally {
    if (log !== undefined) closeSync(log);
  }
}

async function lastLines(logFile: string): Promise<string> {
  const text = await readFile(logFile, 'utf8').catch(() => '');
  const lines = text.trimEnd().split('\n').slice(-shownLines).join(' | ');
  return `${logFile} ends: ${lines.slice(-2000)}`;
}
