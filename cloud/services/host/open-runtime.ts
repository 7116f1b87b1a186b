/** What replicas run as, by the configuration, and what keeps user code of modules in its bounds there. */
import { rm } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { digestOf, hexOf } from '#shared/package/digest.js';
import { makePrivateFolder } from '#shared/platform/private-file.js';
import { usableCores } from '#shared/platform/usable-cores.js';
import type { SandboxCapabilities } from '#shared/protocol/sandbox.js';
import { findHostEntries } from '#shared/supervisor/host-entries.js';
import { MachineSandbox, passableFolder, type SandboxGrant } from '#shared/supervisor/sandbox/machine-sandbox.js';
import type { Shutdown } from '#cloud/lifecycle/shutdown.js';
import { ContainerRuntime } from '../containers/container-runtime.js';
import type { HostConfig } from './host-config.js';
import { ProcessRuntime } from './process-runtime.js';
import type { ReplicaRuntime } from './replica-runtime.js';

export interface RuntimePlace {
  /** A private folder with a short path. */
  readonly sockets: string;
  readonly version: string;
  readonly shutdown: Shutdown;
}

export interface OpenRuntime {
  readonly runtime: ReplicaRuntime;
  /** Undefined before user code was to run. */
  readonly sandbox: () => SandboxCapabilities | undefined;
}

export async function openRuntime(config: HostConfig, place: RuntimePlace): Promise<OpenRuntime> {
  return config.runtime.kind === 'container' ? containers(config, config.runtime, place) : processes(config, place);
}

async function processes(config: HostConfig, { sockets, shutdown }: RuntimePlace): Promise<OpenRuntime> {
  const { folder, blobs, maxBodyBytes } = config;
  const entries = findHostEntries(new URL('../../main.js', import.meta.url).href);
  const sandbox = await MachineSandbox.of({
    ...{ root: folder, entry: entries.scriptHost, secrets: [folder, blobs], grant: grantOf(config) },
    runFolder: (where) => (where === 'inside' ? freshFolder(join(sockets, 'code')) : passableFolder()),
  });
  shutdown.add('sandbox', () => sandbox.close());
  const ports = { entries, sandbox, folder: join(sockets, 'run'), cores: usableCores(), maxBodyBytes };
  return { runtime: new ProcessRuntime(ports), sandbox: () => sandbox.capabilities };
}

function containers(
  { folder, maxBodyBytes, drainMs, modules }: HostConfig,
  {
    socket,
    base,
    memoryBytes,
    cpus,
    processes: most,
    scratchBytes,
  }: Extract<HostConfig['runtime'], { kind: 'container' }>,
  { sockets, version }: RuntimePlace,
): OpenRuntime {
  const granted = modules.maxMemoryMegabytes === undefined ? totalmem() / 2 : modules.maxMemoryMegabytes * 2 ** 20;
  const policy = {
    allowNetwork: false,
    maxMemoryBytes: Math.min(granted, memoryBytes ?? Number.POSITIVE_INFINITY),
    maxCpus: Math.min(modules.maxCpus ?? availableParallelism(), cpus ?? Number.POSITIVE_INFINITY),
    require: modules.require,
  };
  const limits = { memoryBytes, cpus, processes: most, scratchBytes };
  const runtime = new ContainerRuntime({
    ...{ socket, base, limits, policy, version, maxBodyBytes, drainMs },
    owner: hexOf(digestOf(Buffer.from(folder))).slice(0, 12),
    folder: join(sockets, 'run'),
  });
  return { runtime, sandbox: () => runtime.capabilities };
}

/** What a service host that was killed left there ended with it. */
async function freshFolder(path: string): Promise<string> {
  await rm(path, { recursive: true, force: true });
  await makePrivateFolder(path);
  return path;
}

function grantOf({ modules: { maxMemoryMegabytes, ...same } }: HostConfig): SandboxGrant {
  return { ...same, maxMemoryBytes: maxMemoryMegabytes === undefined ? undefined : maxMemoryMegabytes * 2 ** 20 };
}
