/** What a container keeps user code from, and which modules may not run in it. Pure. */
import { AppError } from '#shared/kernel/errors.js';
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import type { Enforcement, SandboxCapabilities } from '#shared/protocol/sandbox.js';
import { planSandbox, type SandboxPolicy } from '#shared/supervisor/sandbox/plan-sandbox.js';
import { failureOf } from '../host/replica-hosts.js';
import type { ContainerLimits } from './container-options.js';

export function capabilitiesOf({
  memoryBytes,
  cpus,
}: Pick<ContainerLimits, 'memoryBytes' | 'cpus'>): SandboxCapabilities {
  const by = { enforced: true, by: 'its container' };
  const limit = (value: number | undefined, what: string): Enforcement =>
    value === undefined ? { enforced: false, by: `containers have no limit of ${what}` } : by;
  return {
    ...{ user: by, pids: by, network: by, mounts: by },
    memory: limit(memoryBytes, 'memory'),
    cpu: limit(cpus, 'cores'),
    files: { enforced: false, by: "the container engine's own limits hold" },
  };
}

/** @throws AppError `permission.refused`, `capability.unmet` */
export function refuseUnbounded(
  manifest: ModuleManifest,
  policy: SandboxPolicy,
  capabilities: SandboxCapabilities,
): void {
  if (manifest.flavor !== 'node') return;
  const recipe = planSandbox(policy, capabilities, manifest);
  if (recipe.ok) return;
  throw manifest.permissions?.network === true && !policy.allowNetwork
    ? new AppError('permission.refused', 'it asks for the network, which replicas in containers do not have')
    : failureOf(recipe.error);
}
