/** What models run on: kinds of hardware, the execution providers of each, and in which numbers they count. */
export const acceleratorKinds = ['cpu', 'gpu', 'npu', 'fpga'] as const;
export type AcceleratorKind = (typeof acceleratorKinds)[number];

export const precisions = ['fp32', 'fp16', 'int8'] as const;
export type Precision = (typeof precisions)[number];

/** Providers as devices report them, by the kind of hardware that they run on. */
export const providersOfKind: Readonly<Record<AcceleratorKind, readonly string[]>> = {
  cpu: ['cpu'],
  gpu: ['gpu', 'cuda', 'tensorrt', 'webgpu', 'dml', 'rocm', 'migraphx'],
  npu: ['npu', 'qnn', 'vitisai'],
  fpga: ['fpga'],
};

/** Of these providers those that run on hardware of a kind. */
export function providersOn(kind: AcceleratorKind, providers: readonly string[]): string[] {
  return providers.filter((one) => providersOfKind[kind].includes(one.toLowerCase()));
}
