/** What this machine is, as far as it can say by itself. */
import { arch, availableParallelism, hostname, platform, totalmem } from 'node:os';
import type { Capabilities } from '#shared/protocol/reported.js';
import { agentVersion } from '#agent/version.js';

export function readCapabilities(): Capabilities {
  return {
    agentVersion,
    platform: `${platform()}-${arch()}`,
    cpus: availableParallelism(),
    memoryBytes: totalmem(),
    accelerators: ['cpu'],
    hostname: hostname().slice(0, 255),
  };
}
