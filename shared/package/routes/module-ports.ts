/** What a module has to connect routes to. Pure. */
import { defaultInput, defaultOutput, type Route, type Routes } from '#shared/protocol/route.js';
import type { ModuleManifest } from '../module-manifest.js';

export interface ModulePorts {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** Outputs that the module's own routes name need not be declared besides. */
export function portsOf(manifest: ModuleManifest): ModulePorts {
  if (manifest.flavor === 'onnx') return { inputs: [defaultInput], outputs: [defaultOutput] };
  return {
    inputs: [...new Set([defaultInput, ...(manifest.inputs ?? [])])],
    outputs: [...new Set([defaultOutput, ...(manifest.outputs ?? []), ...routedOutputs(manifest.routes ?? {})])],
  };
}

function routedOutputs(routes: Routes): string[] {
  return Object.values(routes).flatMap(({ from }) => ('output' in from && !('module' in from) ? [from.output] : []));
}

/** Does it bring data to the module, rather than take its answers away? */
export function isInward({ from }: Route): boolean {
  return !('output' in from) || 'module' in from;
}
