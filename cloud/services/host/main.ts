/** The program `service-host`: started detached by a control plane, or by a person; ends in order when it is told to. */
import { randomUUID } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { parseArgs } from 'node:util';
import { systemClock } from '#shared/kernel/clock.js';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { diskError } from '#shared/platform/atomic-file.js';
import { createLogger, type Logger } from '#shared/platform/logger.js';
import { onShutdown } from '#shared/platform/signals.js';
import { readVersion } from '#cloud/cli/version.js';
import { startRecurring } from '#cloud/lifecycle/recurring.js';
import { Front } from '../front/front.js';
import type { TlsFiles } from '../front/front-server.js';
import { boundLog } from './bounded-log.js';
import { type HostConfig, logFileOf, readHostConfig } from './host-config.js';
import { openHost } from './open-host.js';

const help = `Runs web services beside a control plane: the address of all endpoints, and their replicas.

Usage: node dist/cloud/services/host/main.js --config <file>

The file is JSON: folder (its own, private), blobs (the control plane's blob store), front {host, port, tls},
publishers {workspace: [key]}. It listens to its control plane on control.sock in that folder.
`;

/** Certificates are renewed long before they end; and a log does not grow fast. */
const lookEveryMs = 60_000;
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
  const version = await readVersion();
  const open = await openHost(config, {
    ...{ clock: systemClock, random: Math.random, logger, front, version },
    listen: async () => {
      const tls = await readTls(config);
      return (await front.listen({ host: address, port, ...(tls === undefined ? {} : { tls }) })).url;
    },
    onStop: () => process.kill(process.pid, 'SIGTERM'),
  });
  const stopLooking = followCertificate(config, front, logger);
  const bound = async (): Promise<void> => boundLog(logFileOf(config), standardError);
  const stopBounding = startRecurring({ name: 'log', everyMs: lookEveryMs, run: bound }, systemClock, logger);
  onShutdown(async (signal) => {
    logger.info({ signal }, 'ending: what is under way is answered');
    await Promise.all([stopLooking(), stopBounding()]);
    await open.stop();
    logger.info('ended');
  });
  logger.info({ url: open.url, version, generation: open.host.generation }, 'web services answer');
}

async function readTls({ front }: HostConfig): Promise<TlsFiles | undefined> {
  if (front.tls === undefined) return undefined;
  const { certificateFile, privateKeyFile } = front.tls;
  try {
    return { cert: await readFile(certificateFile), key: await readFile(privateKeyFile) };
  } catch (error) {
    throw diskError(error, 'cannot read the certificate of the front');
  }
}

/** One that was renewed is used from the next connection on. */
function followCertificate(config: HostConfig, front: Front, logger: Logger): () => Promise<void> {
  const { tls } = config.front;
  if (tls === undefined) return async () => undefined;
  let seen: number | undefined;
  const look = async (): Promise<void> => {
    const { mtimeMs } = await stat(tls.certificateFile);
    const renewed = seen !== undefined && seen !== mtimeMs ? await readTls(config) : undefined;
    if (renewed !== undefined) front.setTls(renewed);
    seen = mtimeMs;
  };
  return startRecurring({ name: 'certificate of the front', everyMs: lookEveryMs, run: look }, systemClock, logger);
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
