/** The bounds of what runs on this device. */
import { MachineSandbox } from '#shared/supervisor/sandbox/machine-sandbox.js';
import type { AgentConfig } from '#agent/config.js';
import { makeRunFolder, type StateFolder } from '#agent/store/state-folder.js';

/** @param entry the program that runs user code */
export function deviceSandbox({ modules }: AgentConfig, folder: StateFolder, entry: string): Promise<MachineSandbox> {
  return MachineSandbox.of({
    ...{ root: folder.root, entry, grant: modules, secrets: [folder.root] },
    runFolder: (where) => makeRunFolder(folder, where),
  });
}
