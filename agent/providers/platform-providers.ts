/** Which execution providers onnxruntime-node has on a platform, and what it takes to use each. Pure. */
export const providerNames = ['cpu', 'webgpu', 'cuda', 'tensorrt', 'coreml', 'dml'] as const;
export type ProviderName = (typeof providerNames)[number];

/** `to-install`: the runtime knows it, its libraries come separately. */
export type ProviderOrigin = 'bundled' | 'to-install' | 'not-here';

const allPlatforms = ['linux-x64', 'linux-arm64', 'darwin-arm64', 'win32-x64', 'win32-arm64'];

/** Of the builds that onnxruntime-node 1.30 ships. */
const platforms: Record<ProviderName, { readonly on: readonly string[]; readonly needs: string }> = {
  cpu: { on: allPlatforms, needs: 'nothing' },
  webgpu: {
    on: ['linux-x64', 'darwin-arm64', 'win32-x64', 'win32-arm64'],
    needs:
      "a GPU with a Vulkan driver on Linux (Debian: libvulkan1 and mesa-vulkan-drivers, or the vendor's), Metal on macOS, Direct3D 12 on Windows",
  },
  cuda: {
    on: ['linux-x64'],
    needs:
      "an NVIDIA GPU and driver, CUDA and cuDNN of the releases that the libraries were built for, and 'providers install cuda'",
  },
  tensorrt: {
    on: ['linux-x64'],
    needs:
      "an NVIDIA GPU and driver, CUDA, cuDNN and TensorRT of the releases that the libraries were built for, and 'providers install tensorrt'",
  },
  coreml: { on: ['darwin-arm64'], needs: 'nothing on a Mac' },
  dml: { on: ['win32-x64', 'win32-arm64'], needs: 'a GPU with Direct3D 12' },
};

export function originOf(provider: ProviderName, platform: string): ProviderOrigin {
  if (!platforms[provider].on.includes(platform)) return 'not-here';
  return isInstallable(provider) ? 'to-install' : 'bundled';
}

export function needsOf(provider: ProviderName): string {
  return platforms[provider].needs;
}

export function platformsOf(provider: ProviderName): readonly string[] {
  return platforms[provider].on;
}

export const installableProviders = ['cuda', 'tensorrt'] as const;
export type InstallableProvider = (typeof installableProviders)[number];

export function isInstallable(provider: string): provider is InstallableProvider {
  return (installableProviders as readonly string[]).includes(provider);
}

const shared = 'libonnxruntime_providers_shared.so';

/** The files that onnxruntime opens for a provider, by the exact names that it opens them by. */
export const providerFiles: Readonly<Record<InstallableProvider, readonly string[]>> = {
  cuda: [shared, 'libonnxruntime_providers_cuda.so'],
  tensorrt: [shared, 'libonnxruntime_providers_tensorrt.so'],
};
