/** A model for each datatype that is served: it gives back what it was given. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { datatypes, type Datatype } from '#shared/scoring/codec/tensor.js';
import type { HostedModule } from '#shared/scoring/host-protocol.js';
import { identityModel, type Dimension } from './onnx-writer.js';
import { hostedModule } from './scoring-harness.js';

/** Element types as ONNX numbers them. */
const elementTypes: { readonly [D in Datatype]: number } = {
  BOOL: 9,
  UINT8: 2,
  UINT16: 4,
  UINT32: 12,
  UINT64: 13,
  INT8: 3,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  FP16: 10,
  FP32: 1,
  FP64: 11,
  BYTES: 8,
};

/** @returns modules by the names `fp32` and so on, after the prefix; the input is `x`, the output `y` */
export async function echoModules(folder: string, shape: readonly Dimension[], prefix = ''): Promise<HostedModule[]> {
  await mkdir(folder, { recursive: true });
  for (const datatype of datatypes) {
    await writeFile(join(folder, `${datatype}.onnx`), identityModel(elementTypes[datatype], shape));
  }
  return datatypes.map((datatype) =>
    hostedModule(folder, `${datatype}.onnx`, { name: `${prefix}${datatype.toLowerCase()}` }),
  );
}
