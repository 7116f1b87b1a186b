/**
 * What a scoring host is told about where libraries lie. onnxruntime looks for a provider's library only
 * beside itself, in the folder that it was loaded from. So the folder of installed providers holds a link
 * to onnxruntime too, and stands first in the loader's path: the host loads onnxruntime through the link,
 * and finds the providers there. Nothing is written into the program's folder, which may be read-only, and
 * where nothing is installed, the loader passes over the folder. Pure.
 */

/** Variables of drivers and loaders that a host inherits; nothing else of the agent's environment. */
const inherited = [
  'LD_LIBRARY_PATH',
  'DYLD_LIBRARY_PATH',
  'CUDA_VISIBLE_DEVICES',
  'CUDA_DEVICE_ORDER',
  'CUDA_CACHE_PATH',
  'CUDA_PATH',
  'NVIDIA_VISIBLE_DEVICES',
  'VK_ICD_FILENAMES',
  'VK_DRIVER_FILES',
  'MESA_VK_DEVICE_SELECT',
  'XDG_RUNTIME_DIR',
  'SYSTEMROOT',
  'LOCALAPPDATA',
];

export type HostEnvironment = Readonly<Record<string, string>>;

export function inheritedEnvironment(environment: Readonly<Record<string, string | undefined>>): HostEnvironment {
  const kept: Record<string, string> = {};
  for (const name of inherited) {
    const value = environment[name];
    if (value !== undefined && value !== '') kept[name] = value;
  }
  return kept;
}

/** @param providers the folder of installed providers, whether it is there or not */
export function loaderEnvironment(kept: HostEnvironment, providers: string, platform: string): HostEnvironment {
  // A colon in the path would be two paths.
  if (platform !== 'linux' || providers.includes(':')) return kept;
  const before = kept['LD_LIBRARY_PATH'];
  return { ...kept, LD_LIBRARY_PATH: before === undefined ? providers : `${providers}:${before}` };
}
