/**
 * The service host of a control plane, as a process of its own, which goes on when the control plane ends; one that
 * runs already is taken as it is. One of another version, or with another configuration,
 * is told to end, which answers what is under way and ends its replicas, and the next is started then: for these
 * seconds the address of endpoints is refused. Nothing is handed over, since nothing but a parent can give a port on.
 */
import { rm } from 'node:fs/promises';
import type { Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { diskError, writeFileAtomic } from '#shared/platform/atomic-file.js';
import type { Logger } from '#shared/platform/logger.js';
import { makePrivateFolder } from '#shared/platform/private-file.js';
import type { About } from './control-protocol.js';
import { configFileOf, controlSocketOf, fingerprintOf, type HostConfig } from './host-config.js';
import { startDetached, type StartedBy, startedBySystemd } from './host-starter.js';
import { ServiceHostClient } from './service-host-client.js';

export interface ServiceHostProcessOptions {
  readonly config: HostConfig;
  /** Of this build. */
  readonly version: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Absent: this process, detached. */
  readonly startedBy?: StartedBy;
  /** Path of the program that this process starts; absent: the built one. */
  readonly program?: string;
}

const startPatienceMs = 30_000;
const lookEveryMs = 50;
/** Beyond its drain. */
const endPatienceMs = 15_000;

export class ServiceHostProcess {
  private readonly client: ServiceHostClient;
  private ensuring: Promise<ServiceHostClient> | undefined;
  /** What this control plane has started is its own, even where the program on disk was changed since. */
  private started: number | undefined;

  constructor(private readonly options: ServiceHostProcessOptions) {
    this.client = new ServiceHostClient(() => controlSocketOf(options.config));
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

  /** It has begun to end when this resolves, if one runs; nobody starts it again by itself. */
  async end(): Promise<void> {
    const file = configFileOf(this.options.config);
    // What systemd waits for: else it would start the one again that ended.
    await rm(file, { force: true }).catch((error: unknown) => {
      throw diskError(error, `cannot remove ${file}`);
    });
    if ((await this.about()) !== undefined) await this.client.stop();
  }

  /** Ends it, if it runs; resolves when it has ended. @throws AppError `service.unavailable` when it does not end */
  async stop(): Promise<void> {
    const about = await this.about();
    if (about === undefined) return;
    const { clock, config } = this.options;
    await this.end();
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
    const { config, clock, logger, startedBy, program } = this.options;
    await makePrivateFolder(config.folder);
    const configFile = configFileOf(config);
    await writeFileAtomic(configFile, `${JSON.stringify(config)}\n`, { mode: 0o600 });
    const start = startedBy === 'systemd' ? startedBySystemd(config) : startDetached(config, configFile, program);
    const until = clock.monotonic() + startPatienceMs;
    let about = await this.about();
    while (!start.isThere(about)) {
      const ended = start.ended();
      if (ended !== undefined || clock.monotonic() > until) {
        throw new AppError(
          'service.unavailable',
          `the service host could not be started: ${ended ?? `nothing was heard for ${String(startPatienceMs / 1000)} s`}. ${await start.trouble()}`,
        );
      }
      await clock.sleep(lookEveryMs);
      about = await this.about();
    }
    this.started = about?.pid;
    logger.info({ pid: about?.pid }, 'a service host was started');
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
