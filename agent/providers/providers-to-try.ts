/** Which providers a trial of them is worth its time. Pure. */
import { originOf, type ProviderName, providerNames } from './platform-providers.js';

/** What speaks for hardware on Linux, where drivers show themselves; elsewhere the system always has it. */
export interface HardwareSigns {
  readonly nvidia: boolean;
  /** A driver that renders, or one for Vulkan that was named. */
  readonly graphics: boolean;
}

/** Without `cpu`, which needs no trial. */
export function providersToTry(platform: string, { nvidia, graphics }: HardwareSigns): ProviderName[] {
  const speaks: Readonly<Record<ProviderName, boolean>> = {
    cpu: false,
    cuda: nvidia,
    tensorrt: nvidia,
    webgpu: platform.startsWith('linux') ? graphics || nvidia : true,
    coreml: true,
    dml: true,
  };
  return providerNames.filter((provider) => originOf(provider, platform) !== 'not-here' && speaks[provider]);
}
