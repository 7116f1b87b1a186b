/**
 * Keeps the folder that an external Mosquitto reads: its configuration, rules, certificate, authorities and
 * the list of revoked certificates. Written whole and atomically whenever a certificate is revoked or an
 * authority changes; then Mosquitto is told, by SIGHUP or by the operator's command, and reads all of it
 * anew. It does not end sessions by that: whoever was revoked is taken over by `takeOver`.
 * Mosquitto runs as the user of the control plane, since the keys are for that user alone.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Clock } from '#shared/kernel/clock.js';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { errno, writeFileAtomic } from '#shared/platform/atomic-file.js';
import type { Logger } from '#shared/platform/logger.js';
import { makePrivateFolder } from '#shared/platform/private-file.js';
import { clientIdOf, type DeviceAddress } from '#shared/protocol/topics.js';
import type { DeviceAccess } from './device-access.js';
import type { BrokerTls } from './embedded-broker.js';
import { aclFile, type MosquittoConfig, mosquittoConfig, mosquittoFileNames } from './mosquitto-config.js';

export interface MosquittoFilesOptions {
  readonly config: MosquittoConfig;
  readonly tls: () => BrokerTls;
  /** PEM: one list for each authority, or Mosquitto refuses every certificate of that authority. */
  readonly revocationLists: () => Promise<string>;
  /** Ends the session of a device, if it has one. */
  readonly takeOver: (address: DeviceAddress) => Promise<void>;
  /** Run by the shell instead of a SIGHUP. */
  readonly reloadCommand: string | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** After the signal; Mosquitto reads its files in between, and a command may take longer to have an effect. */
const takeOverAfterMs = [200, 2_000, 6_000];
const commandTimeoutMs = 30_000;

export class MosquittoFiles implements DeviceAccess {
  private running: Promise<void> | undefined;
  private next: Promise<void> | undefined;
  private readonly stopping = new AbortController();

  constructor(private readonly options: MosquittoFilesOptions) {}

  /** Its certificate says everything: nothing to do. */
  async enrolled(_address: DeviceAddress): Promise<void> {}

  retired(address: DeviceAddress): Promise<void> {
    return this.shutOut(address);
  }

  revoked(address: DeviceAddress, _fingerprint: string): Promise<void> {
    return this.shutOut(address);
  }

  superseded(_address: DeviceAddress, _fingerprint: string): Promise<void> {
    return this.write();
  }

  authoritiesChanged(): Promise<void> {
    return this.write();
  }

  close(): void {
    this.stopping.abort();
  }

  /** Resolves when files that hold everything known at the call are in place and Mosquitto was told. */
  write(): Promise<void> {
    if (this.next) return this.next;
    const next = (this.running ?? Promise.resolve())
      .catch(() => undefined) // its caller got that error
      .then(() => {
        this.next = undefined;
        this.running = next;
        return this.writeOnce();
      });
    this.next = next;
    return next;
  }

  /** A device that has another certificate by now comes back with it. */
  private async shutOut(address: DeviceAddress): Promise<void> {
    await this.write();
    const [first = 0, ...later] = takeOverAfterMs;
    await this.takeOverAfter(first, address);
    void (async () => {
      for (const ms of later) await this.takeOverAfter(ms, address);
    })();
  }

  private async takeOverAfter(ms: number, address: DeviceAddress): Promise<void> {
    const { clock, takeOver, logger } = this.options;
    const { signal } = this.stopping;
    await clock.sleep(ms, signal);
    if (signal.aborted) return;
    try {
      await takeOver(address);
    } catch (error) {
      logger.warn({ device: clientIdOf(address), reason: messageOf(error) }, 'its session at the broker may go on');
    }
  }

  private async writeOnce(): Promise<void> {
    const { config, tls, revocationLists } = this.options;
    const { certificate, privateKey, authorities } = tls();
    const contents: Record<keyof typeof mosquittoFileNames, string> = {
      certificate,
      privateKey,
      authorities: authorities.join('\n'),
      revoked: await revocationLists(),
      rules: aclFile(),
      configuration: mosquittoConfig(config),
    };
    await makePrivateFolder(config.folder);
    for (const name of Object.keys(contents) as (keyof typeof mosquittoFileNames)[]) {
      await writeFileAtomic(join(config.folder, mosquittoFileNames[name]), contents[name], { mode: 0o600 });
    }
    await this.reload();
  }

  private async reload(): Promise<void> {
    const { config, reloadCommand, logger } = this.options;
    const { pidFile } = config;
    try {
      if (reloadCommand !== undefined) {
        await promisify(execFile)('/bin/sh', ['-c', reloadCommand], { timeout: commandTimeoutMs });
        return;
      }
      const pid = Number.parseInt(await readFile(pidFile, 'utf8'), 10);
      if (!(pid > 1)) throw new AppError('broker.unreachable', 'it holds no process id');
      process.kill(pid, 'SIGHUP');
    } catch (error) {
      const level = errno(error) === 'ENOENT' ? 'debug' : 'error';
      logger[level](
        { pidFile, reloadCommand, reason: messageOf(error) },
        'Mosquitto was not told that its files changed: it reads them when it starts',
      );
    }
  }
}
