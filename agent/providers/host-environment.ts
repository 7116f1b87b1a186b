/** The environment of scoring hosts on this machine, and of the trials that must see what they see. */
import { arch, platform } from 'node:os';
import type { AgentConfig } from '#agent/config.js';
import { stateFolder } from '#agent/store/state-folder.js';
import { type HostEnvironment, loaderEnvironment } from './loader-environment.js';
import { providersFolder } from './installed-providers.js';
import { findRuntimeLibrary } from './runtime-library.js';

export function hostEnvironmentOf({ stateDir, hostEnvironment }: AgentConfig): HostEnvironment {
  // Of providers that are to be installed there are none elsewhere.
  if (platform() !== 'linux' || arch() !== 'x64') return hostEnvironment;
  const { version } = findRuntimeLibrary(platform(), arch());
  return loaderEnvironment(hostEnvironment, providersFolder(stateFolder(stateDir).providers, version), platform());
}
