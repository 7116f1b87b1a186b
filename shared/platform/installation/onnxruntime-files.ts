/** What of onnxruntime a machine needs that only runs models, by the name of its package. */
export interface RuntimePlatform {
  /** As `process.platform` and `process.arch` name them. */
  readonly os: string;
  readonly cpu: string;
}

export const onnxruntimePackages = ['onnxruntime-node', 'onnxruntime-common'] as const;

/** @param file its path in the package */
export function isRuntimeFile(
  name: (typeof onnxruntimePackages)[number],
  file: string,
  { os, cpu }: RuntimePlatform,
): boolean {
  if (file === 'package.json') return true;
  if (name === 'onnxruntime-common') return /^dist\/cjs\/.*\.(js|json)$/.test(file);
  return file.startsWith('bin/') ? file.startsWith(`bin/napi-v6/${os}/${cpu}/`) : /^dist\/.*\.js$/.test(file);
}
