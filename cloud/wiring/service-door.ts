/** The way to this control plane's service host: a process beside it, started when it is first needed. */
import { isIP } from 'node:net';
import { isAbsolute, join, resolve } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import type { CloudConfig } from '#cloud/config.js';
import { type HostConfig, type HostConfigInput, hostConfigSchema } from '#cloud/services/host/host-config.js';
import { ServiceHostProcess } from '#cloud/services/host/service-host-process.js';
import type { ServiceHostDoor } from '#cloud/services/control/services-publisher.js';
import type { Ground } from './ground.js';
import { keysFolder } from './identity-wiring.js';

export function openServiceDoor({ config, clock, logger }: Ground, version: string): ServiceHostDoor {
  const hostConfig = serviceHostConfig(config);
  const { startedBy } = config.services;
  const options = { config: hostConfig, version, clock, startedBy };
  return new ServiceHostProcess({ ...options, logger: logger.child({ part: 'services' }) });
}

/** @throws AppError `config.invalid` */
export function serviceHostConfig(config: CloudConfig): HostConfig {
  const { dataDir, services, modules, serverNames, logLevel } = config;
  const tls = tlsOf(config);
  const { advertiseUrl } = services;
  const advertised = advertiseUrl === undefined ? [] : [new URL(advertiseUrl).hostname.replace(/^\[|\]$/g, '')];
  return hostConfigSchema.parse({
    folder: resolve(dataDir, 'services'),
    blobs: resolve(dataDir, 'blobs'),
    front: {
      ...{ host: addressOf(services.host), port: services.port, hostNames: [...serverNames, ...advertised] },
      ...(tls === undefined ? {} : { tls }),
    },
    modules,
    runtime: runtimeOf(services),
    logLevel,
  });
}

const mebibyte = 2 ** 20;

function runtimeOf(services: CloudConfig['services']): HostConfigInput['runtime'] {
  const { runtime, engineSocket, containerBase = '', containerMemoryMegabytes: memory, containerCpus: cpus } = services;
  if (runtime === 'process') return { kind: 'process' };
  return {
    kind: 'container',
    socket: resolve(engineSocket),
    base: isAbsolute(containerBase) ? { folder: containerBase } : { image: containerBase },
    ...(memory === undefined ? {} : { memoryBytes: memory * mebibyte }),
    ...(cpus === undefined ? {} : { cpus }),
    processes: services.containerProcesses,
    scratchBytes: services.containerScratchMegabytes * mebibyte,
  };
}

function addressOf(host: string): string {
  if (host === 'localhost') return '127.0.0.1';
  if (isIP(host) !== 0) return host;
  throw new AppError('config.invalid', `services.host (--services-host): "${host}" is no IP address`);
}

function tlsOf(config: CloudConfig): HostConfig['front']['tls'] {
  const { tls, tlsCertFile, tlsKeyFile } = config.services;
  if (tls === 'off') return undefined;
  if (tls === 'files' && tlsCertFile !== undefined && tlsKeyFile !== undefined) {
    return { certificateFile: resolve(tlsCertFile), privateKeyFile: resolve(tlsKeyFile) };
  }
  // Renewed there; a service host takes what is renewed by itself.
  const keys = resolve(keysFolder(config));
  return { certificateFile: join(keys, 'server.crt'), privateKeyFile: join(keys, 'server.key') };
}
