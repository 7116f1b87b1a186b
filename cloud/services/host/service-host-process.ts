/**
 * The service host of a control plane, as a process of its own. It is started detached, so that it goes on when the
 * control plane ends; one that runs already is taken as it is. One of another version, or with another configuration,
 * is told to end, which answers what is under way and ends its replicas, and the next is started then: for these
 * seconds the address of endpoints is refused. Nothing is handed over, since nothing but a parent can give a port on.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#shared/kernel/clock.js';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { diskError, writeFileAtomic } from '#shared/platform/atomic-file.js';
import type { Logger } from '#shared/platform/logger.js';
import { makePrivateFolder } from '#shared/platform/private-file.js';
import { builtProgram } from '#cloud/lifecycle/built-program.js';
import type { About } from './control-protocol.js';
import { controlSocketOf, fingerprintOf, type HostConfig, logFileOf } from './host-config.js';
import { ServiceHostClient } from './service-host-client.js';

export interface ServiceHostProcessOptions {
  readonly config: HostConfig;
  /** Of this build. */
  readonly version: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Path of the program; absent: the built one. */
  readonly program?: string;
}

const startPatienceMs = 30_000;
const lookEveryMs = 50;
/** Beyond its drain. */
const endPatienceMs = 15_000;
const shownLines = 5;

export class ServiceHostProcess {
  private readonly client: ServiceHostClient;
  private ensuring: Promise<ServiceHostClient> | undefined;
  /** What this control plane has started is its own, even where the program on disk was changed since. */
  private started: number | undefined;

  constructor(private readonly options: ServiceHostProcessOptions) {
    this.client = new ServiceHostClient(controlSocketOf(options.config));
  }

  /** The one that runs, whatever its version. */
  async running(): Promise<ServiceHostClient | undefined> {
    return (await this.about()) === undefined ? undefined : this.client;
  }

  /**
   * The one that runs, or one that is started now; of this version and configuration.
   *
   * @throws AppError `service.unavailable` with the reason from its log
   */
  ensure(): Promise<ServiceHostClient> {
    this.ensuring ??= this.ensureOne().finally(() => {
      this.ensuring = undefined;
    });
    return this.ensuring;
  }

  /** Ends it, if it runs; resolves when it has ended. @throws AppError `service.unavailable` when it does not end */
  async stop(): Promise<void> {
    const about = await this.about();
    if (about === undefined) return;
    const { clock, config } = this.options;
    await this.client.stop();
    const until = clock.monotonic() + config.drainMs * 2 + endPatienceMs;
    while (isAlive(about.pid)) {
      if (clock.monotonic() > until) {
        throw new AppError(
          'service.unavailable',
          `the service host (process ${String(about.pid)}) was told to end and goes on: end it by hand`,
        );
      }
      await clock.sleep(lookEveryMs);
    }
  }

  private async ensureOne(): Promise<ServiceHostClient> {
    const { config, version, logger } = this.options;
    const about = await this.about();
    const isSame = about?.version === version && about.configuration === fingerprintOf(config);
    if (about !== undefined && (isSame || about.pid === this.started)) return this.client;
    if (about !== undefined) {
      logger.info({ from: about.version, to: version }, 'the service host is replaced: version or settings differ');
      await this.stop();
    }
    await this.start();
    return this.client;
  }

  private async about(): Promise<About | undefined> {
    try {
      return await this.client.about();
    } catch (error) {
      if (error instanceof AppError && error.code === 'service.unavailable') return undefined;
      throw error;
    }
  }

  private async start(): Promise<void> {
    const { config, clock, logger, program = builtProgram('services/host/main.js') } = this.options;
    const { folder } = config;
    await makePrivateFolder(folder);
    const configFile = join(folder, 'config.json');
    await writeFileAtomic(configFile, `${JSON.stringify(config)}\n`, { mode: 0o600 });
    const logFile = logFileOf(config);
    const child = spawnDetached(program, configFile, logFile);
    let ended: string | undefined;
    child.once('error', (error) => (ended = messageOf(error)));
    child.once('exit', (code, signal) => (ended = `it ended with ${signal ?? `exit code ${String(code)}`}`));
    child.unref();
    const until = clock.monotonic() + startPatienceMs;
    while ((await this.about())?.pid !== child.pid) {
      if (ended === undefined && clock.monotonic() <= until) {
        await clock.sleep(lookEveryMs);
        continue;
      }
      throw new AppError(
        'service.unavailable',
        `the service host could not be started: ${ended ?? `nothing was heard for ${String(startPatienceMs / 1000)} s`}. ${await lastLines(logFile)}`,
      );
    }
    this.started = child.pid;
    logger.info({ pid: child.pid, log: logFile }, 'a service host was started');
  }
}

/** With the path to find programs by, and nothing else of ours in its environment. */
function spawnDetached(program: string, configFile: string, logFile: string): ReturnType<typeof spawn> {
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

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
