/** Where the agent listens for this machine's people and programs. */
import type { AgentConfig } from '#agent/config.js';
import { stateFolder } from '#agent/store/state-folder.js';

export function localSocketOf({ local, stateDir }: Pick<AgentConfig, 'local' | 'stateDir'>): string {
  return local.socket ?? stateFolder(stateDir).socket;
}
