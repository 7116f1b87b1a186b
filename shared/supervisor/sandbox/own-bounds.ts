/**
 * The bounds of a program of ours, without user code, that needs the machine: accelerators, ports, models. It
 * gains no privileges, and what befalls its memory is told. What they are made of is found without a trial.
 */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { type Cgroups, unhurried } from './cgroups.js';
import type { Confinement } from './confinement.js';
import { confinedPath, entered, type SandboxTool, sandboxTools } from './sandbox-command.js';
import { nodePath } from './sandbox-view.js';

export interface SandboxParts {
  readonly tools: Readonly<Partial<Record<SandboxTool, string>>>;
  /** Undefined where there can be none. */
  readonly cgroups: Cgroups | undefined;
}

/** @param id tells it from others of this owner */
export function confineOurs({ tools, cgroups }: SandboxParts, id: string): Confinement {
  const group = cgroups?.create(`${unhurried}${id}`, undefined, ['memory']);
  const node = nodePath();
  const bounds = tools.setpriv === undefined ? [] : [tools.setpriv, '--no-new-privs', '--'];
  const entering = tools.sh === undefined ? [] : entered(tools.sh, group?.entrances ?? []);
  const [file = node, ...args] = [...entering, ...bounds, node];
  return {
    launcher: { file, args },
    environment: {},
    limits: undefined,
    watched: { memoryBytes: undefined, openFiles: undefined },
    moduleFolder: '',
    end: async () => {
      const story = group?.story() ?? nothingBefell;
      await group?.end();
      return story;
    },
  };
}

export const nothingBefell = { memoryKills: 0, memoryPeakBytes: undefined, refusedProcesses: 0 } as const;

export function findTools(): SandboxParts['tools'] {
  const found: Partial<Record<SandboxTool, string>> = {};
  for (const tool of sandboxTools) {
    const path = confinedPath
      .split(':')
      .map((folder) => join(folder, tool))
      .find(isExecutable);
    if (path !== undefined) found[tool] = path;
  }
  return found;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
