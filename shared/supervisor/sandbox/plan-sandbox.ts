/**
 * Whether a module's user code may run here, and in which bounds. Pure. Invariant, held by a property: a
 * recipe never enforces less than the module or the device requires; where that cannot be, it is refused.
 */
import type { Problem } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import { defaultResources, type ModuleResources, type SandboxNeeds } from '#shared/package/sandbox-options.js';
import { type SandboxAspect, sandboxAspects, type SandboxCapabilities } from '#shared/protocol/sandbox.js';

/** What the owner of the device allows. */
export interface SandboxPolicy {
  readonly allowNetwork: boolean;
  readonly maxMemoryBytes: number;
  readonly maxCpus: number;
  /** What must be enforced for any module with user code. */
  readonly require: readonly SandboxAspect[];
}

export interface SandboxLimits {
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly processes: number;
  readonly openFiles: number;
  /** Of the temporary folder, and of any one file. */
  readonly temporaryBytes: number;
}

export interface SandboxRecipe {
  readonly user: 'own' | 'agent';
  readonly view: 'private' | 'machine';
  readonly network: 'none' | 'machine';
  readonly limits: SandboxLimits;
  /** Limits that the kernel keeps; the others are watched, or not kept. */
  readonly kept: { readonly memory: boolean; readonly cpu: boolean; readonly pids: boolean; readonly files: boolean };
  /** What is not enforced, though it would be where the machine could. */
  readonly missing: readonly SandboxAspect[];
}

const megabyte = 1024 * 1024;

export function planSandbox(
  policy: SandboxPolicy,
  capabilities: SandboxCapabilities,
  needs: SandboxNeeds,
): Result<SandboxRecipe, Problem> {
  const wantsNetwork = needs.permissions?.network === true;
  if (wantsNetwork && !policy.allowNetwork) {
    return refuse('permission.refused', 'it asks for the network, which this machine does not grant to modules');
  }
  const tooMuch = needs.resources && beyondPolicy(policy, needs.resources);
  if (tooMuch !== undefined) return refuse('permission.refused', tooMuch);
  const required = new Set<SandboxAspect>([...policy.require, ...(needs.requires?.sandbox ?? [])]);
  // Who was granted the network has nothing to be kept from.
  if (wantsNetwork) required.delete('network');
  const unmet = sandboxAspects.filter((aspect) => required.has(aspect) && !capabilities[aspect].enforced);
  if (unmet.length > 0) {
    const reasons = unmet.map((aspect) => `${aspect} (${capabilities[aspect].by})`).join(', ');
    return refuse('capability.unmet', `this machine cannot enforce what the module's sandbox must have: ${reasons}`, {
      unmet,
    });
  }
  const has = (aspect: SandboxAspect): boolean => capabilities[aspect].enforced;
  return ok({
    user: has('user') ? 'own' : 'agent',
    view: has('mounts') ? 'private' : 'machine',
    network: has('network') && !wantsNetwork ? 'none' : 'machine',
    limits: limitsOf(policy, needs.resources ?? defaultResources),
    kept: { memory: has('memory'), cpu: has('cpu'), pids: has('pids'), files: has('files') },
    missing: sandboxAspects.filter((aspect) => !has(aspect) && !(aspect === 'network' && wantsNetwork)),
  });
}

/** Who names no resources takes what the device grants of the usual ones. */
function limitsOf(policy: SandboxPolicy, asked: ModuleResources): SandboxLimits {
  return {
    memoryBytes: Math.min(asked.memoryMegabytes * megabyte, policy.maxMemoryBytes),
    cpus: Math.min(asked.cpus, policy.maxCpus),
    processes: asked.processes,
    openFiles: asked.openFiles,
    temporaryBytes: asked.temporaryMegabytes * megabyte,
  };
}

function beyondPolicy(
  { maxMemoryBytes, maxCpus }: SandboxPolicy,
  { memoryMegabytes, cpus }: ModuleResources,
): string | undefined {
  if (memoryMegabytes * megabyte > maxMemoryBytes) {
    return `it asks for ${String(memoryMegabytes)} MB of memory; this machine grants ${String(Math.floor(maxMemoryBytes / megabyte))}`;
  }
  if (cpus > maxCpus) {
    return `it asks for ${String(cpus)} cores; this machine grants ${String(maxCpus)}`;
  }
  return undefined;
}

function refuse(
  code: 'permission.refused' | 'capability.unmet',
  message: string,
  details?: Problem['details'],
): Result<never, Problem> {
  return err({ code, message, ...(details === undefined ? {} : { details }) });
}
