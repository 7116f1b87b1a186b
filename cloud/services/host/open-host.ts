/** A service host, constructed and wired on its folder: the only place that knows all its parts. */
import { join } from 'node:path';
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import type { Random } from '#shared/kernel/ids.js';
import type { Logger } from '#shared/platform/logger.js';
import { makePrivateFolder } from '#shared/platform/private-file.js';
import { Shutdown } from '#cloud/lifecycle/shutdown.js';
import { startRecurring } from '#cloud/lifecycle/recurring.js';
import { lockFolder } from '#cloud/store/data-folder-lock.js';
import { openControlApi } from './control-api.js';
import type { FrontPort } from './front-port.js';
import { CollectedData } from './collected-data.js';
import { controlSocketOf, fingerprintOf, type HostConfig } from './host-config.js';
import { HostDocuments } from './host-documents.js';
import type { ServicePolicy } from './plan.js';
import { openRuntime } from './open-runtime.js';
import { ServiceHost } from './service-host.js';
import { ServiceImages } from './service-images.js';
import { ServicesTrust } from './services-trust.js';
import { makeSocketFolder } from './socket-folder.js';
import { ToldDocument } from './telemetry/told-document.js';

export interface OpenHostPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly version: string;
  readonly front: FrontPort;
  /** Resolves once the front accepts requests. @returns its URL */
  readonly listen: () => Promise<string>;
  /** Who asks over the control socket that it end. */
  readonly onStop: () => void;
}

export interface OpenHost {
  readonly host: ServiceHost;
  readonly url: string;
  /** Answers what is under way, ends every replica, and gives the folder back. */
  stop(): Promise<void>;
}

export const usualPolicy: ServicePolicy = { surge: 1, maxFailedStarts: 4, retryFailedMs: 300_000, maxStarting: 4 };
const loadEveryMs = 1000;
const collectedEveryMs = 5_000;
/** Where no control plane asks. */
const collectEveryMs = 10_000;

/** @throws AppError `already.running`, `port.taken`, `config.invalid`, `disk.*` */
export async function openHost(config: HostConfig, ports: OpenHostPorts): Promise<OpenHost> {
  const { clock, random, logger, version, front } = ports;
  const { folder, drainMs } = config;
  const shutdown = new Shutdown(logger);
  try {
    await makePrivateFolder(folder);
    const lock = await lockFolder(
      folder,
      `another service host works in ${folder}: stop it, or give this one another folder`,
    );
    shutdown.add('lock', () => lock.release());
    const onLost = (error: Error): void => logger.error({ err: error }, 'a document of the service host is lost');
    const trust = new ServicesTrust(join(folder, 'trust.json'), config.publishers, onLost);
    const trustOf = trust.of.bind(trust);
    const collected = new CollectedData({ folder: join(folder, 'collected'), clock, logger });
    const sockets = await makeSocketFolder(folder);
    const { runtime, sandbox } = await openRuntime(config, { sockets, version, shutdown });
    const host: ServiceHost = new ServiceHost({
      ...{ clock, random, logger, version, trust, front, drainMs, loadEveryMs, policy: usualPolicy },
      ...{ url: () => url, collected },
      documents: new HostDocuments(folder, onLost),
      told: new ToldDocument(folder, onLost),
      images: new ServiceImages({ blobs: config.blobs, folder: join(folder, 'images'), trust: trustOf }),
      ...{ runtime, sandbox },
    });
    const url = await ports.listen();
    shutdown.add('host', () => host.stop());
    await host.start();
    const look = (): Promise<void> => host.lookAtCollected();
    const stopLooking = startRecurring({ name: 'collected data', everyMs: collectedEveryMs, run: look }, clock, logger);
    shutdown.add('collected data', stopLooking);
    const collect = { name: 'numbers of replicas', everyMs: collectEveryMs, run: () => host.telemetry.collect() };
    shutdown.add(collect.name, startRecurring(collect, clock, logger));
    const startedAt = toInstant(clock.now());
    const configuration = fingerprintOf(config);
    const control = await openControlApi(controlSocketOf(config), {
      ...{ host, collected },
      stop: ports.onStop,
      families: () => front.families(),
      onBug: (error) => logger.error({ err: error }, 'the control socket failed by a bug of ours'),
      about: () => ({
        ...{ version, pid: process.pid, startedAt, configuration },
        ...{ generation: host.generation, trust: trust.versions },
      }),
    });
    shutdown.add('control', () => control.close());
    return { host, url, stop: () => shutdown.run() };
  } catch (error) {
    await shutdown.run();
    throw error;
  }
}
