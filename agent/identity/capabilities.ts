/** What this machine is, as far as it can say by itself. */
import { arch, availableParallelism, hostname, platform, totalmem } from 'node:os';
import { systemTimeZone } from '#shared/kernel/time-zone.js';
import { agentFeatures } from '#shared/protocol/features.js';
import type { Capabilities } from '#shared/protocol/reported.js';
import type { SandboxCapabilities } from '#shared/protocol/sandbox.js';
import { agentVersion } from '#agent/version.js';

/**
 * @param sandbox what was found by trying, once that was done
 * @param accelerators providers that were seen to run a model
 * @param timeZone in which maintenance windows are read
 */
export function readCapabilities(
  sandbox?: SandboxCapabilities,
  accelerators: readonly string[] = ['cpu'],
  timeZone = systemTimeZone(),
): Capabilities {
  return {
    agentVersion,
    platform: `${platform()}-${arch()}`,
    cpus: availableParallelism(),
    memoryBytes: totalmem(),
    accelerators: [...accelerators],
    hostname: hostname().slice(0, 255),
    timeZone,
    features: [...agentFeatures],
    ...(sandbox === undefined ? {} : { sandbox }),
  };
}
