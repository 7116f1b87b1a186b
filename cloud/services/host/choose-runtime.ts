/** What replicas run as, by the configuration. */
import { join } from 'node:path';
import { usableCores } from '#shared/platform/usable-cores.js';
import { findHostEntries } from '#shared/supervisor/host-entries.js';
import { ContainerRuntime } from '../containers/container-runtime.js';
import type { HostConfig } from './host-config.js';
import { ProcessRuntime } from './process-runtime.js';
import type { ReplicaRuntime } from './replica-runtime.js';

export function runtimeOf(config: HostConfig, version: string): ReplicaRuntime {
  const { folder, runtime, maxBodyBytes, drainMs } = config;
  const run = join(folder, 'run');
  if (runtime.kind === 'process') {
    const entries = findHostEntries(new URL('../../main.js', import.meta.url).href);
    return new ProcessRuntime({ entries, folder: run, cores: usableCores(), maxBodyBytes });
  }
  const { socket, base, memoryBytes, cpus, processes, scratchBytes } = runtime;
  const limits = { memoryBytes, cpus, processes, scratchBytes };
  return new ContainerRuntime({ ...{ socket, base, limits, version, maxBodyBytes, drainMs }, folder: run });
}
