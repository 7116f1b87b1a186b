/** The program `service-host`: started detached by a control plane, or by a person; ends in order when it is told to. */
import { randomUUID } from 'node:crypto';
import { isIP } from 'node:net';
import { parseArgs } from 'node:util';
import { systemClock } from '#shared/kernel/clock.js';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { createLogger, type Logger } from '#shared/platform/logger.js';
import { onShutdown } from '#shared/platform/signals.js';
import { readVersion } from '#cloud/cli/version.js';
import { startRecurring } from '#cloud/lifecycle/recurring.js';
import { Front } from '../front/front.js';
import { boundLog } from './bounded-log.js';
import { FrontCertificate } from './front-certificate.js';
import { logFileOf, readHostConfig } from './host-config.js';
import { openHost } from './open-host.js';

const help = `Runs web services beside a control plane: the address of all endpoints, and their replicas.

Usage: node dist/cloud/services/host/main.js --config <file>

The file is JSON: folder (its own, private), blobs (the control plane's blob store), front {host, port, tls},
publishers {workspace: [key]}. It listens to its control plane on control.sock in that folder.
`;

/** A log does not grow fast. */
const boundEveryMs = 60_000;
/** Certificates are renewed long before they end, but who renews one wants to see it. */
const followEveryMs = 10_000;
const standardError = 2;

async function run(configFile: string): Promise<void> {
  // Nothing that is written here is for others.
  process.umask(0o077);
  const config = await readHostConfig(configFile);
  const logger = createLogger('service-host', { level: config.logLevel, pretty: process.stderr.isTTY });
  const { host: address, port, hostNames } = config.front;
  const isEverywhere = address === '0.0.0.0' || address === '::';
  if (isIP(address) === 0) throw new AppError('config.invalid', `front.host "${address}" is no IP address`);
  const front = new Front({
    ...{ clock: systemClock, random: Math.random, newId: randomUUID, log: logger, maxBodyBytes: config.maxBodyBytes },
    names: { hostNames, addresses: isEverywhere ? 'any' : [address] },
  });
  const { tls: files } = config.front;
  const certificate = files === undefined ? undefined : new FrontCertificate(files);
  const version = await readVersion();
  const open = await openHost(config, {
    ...{ clock: systemClock, random: Math.random, logger, front, version },
    listen: async () => {
      const tls = await certificate?.read();
      return (await front.listen({ host: address, port, ...(tls === undefined ? {} : { tls }) })).url;
    },
    onStop: () => process.kill(process.pid, 'SIGTERM'),
  });
  const stopFollowing = follow(certificate, front, logger);
  const bound = async (): Promise<void> => boundLog(logFileOf(config), standardError);
  const stopBounding = startRecurring({ name: 'log', everyMs: boundEveryMs, run: bound }, systemClock, logger);
  onShutdown(async (signal) => {
    logger.info({ signal }, 'ending: what is under way is answered');
    await Promise.all([stopFollowing(), stopBounding()]);
    await open.stop();
    logger.info('ended');
  });
  logger.info({ url: open.url, version, generation: open.host.generation }, 'web services answer');
}

/** One that was renewed is used from the next connection on. */
function follow(certificate: FrontCertificate | undefined, front: Front, logger: Logger): () => Promise<void> {
  if (certificate === undefined) return async () => undefined;
  const run = async (): Promise<void> => certificate.follow((tls) => front.setTls(tls));
  return startRecurring({ name: 'certificate of the front', everyMs: followEveryMs, run }, systemClock, logger);
}

try {
  const { values } = parseArgs({ options: { config: { type: 'string' }, help: { type: 'boolean' } } });
  if (values.help === true) process.stdout.write(help);
  else if (values.config === undefined) throw new AppError('request.invalid', 'give --config <file>; --help says more');
  else await run(values.config);
} catch (error) {
  process.stderr.write(`service-host: ${messageOf(error)}\n`);
  process.exitCode = error instanceof AppError ? error.traits.exit : 2;
}
