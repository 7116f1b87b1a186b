/** What this machine is, as far as it can say by itself. */
import { arch, availableParallelism, hostname, platform, totalmem } from 'node:os';
import type { Capabilities } from '#shared/protocol/reported.js';
import type { SandboxCapabilities } from '#shared/protocol/sandbox.js';
import { agentVersion } from '#agent/version.js';

/** What this agent understands that older ones refuse a document for. */
const agentFeatures = ['shadow'] as const;

/**
 * @param sandbox what was found by trying, once that was done
 * @param accelerators providers that were seen to run a model
 */
export function readCapabilities(
  sandbox?: SandboxCapabilities,
  accelerators: readonly string[] = ['cpu'],
): Capabilities {
  return {
    agentVersion,
    platform: `${platform()}-${arch()}`,
    cpus: availableParallelism(),
    memoryBytes: totalmem(),
    accelerators: [...accelerators],
    hostname: hostname().slice(0, 255),
    features: [...agentFeatures],
    ...(sandbox === undefined ? {} : { sandbox }),
  };
}
