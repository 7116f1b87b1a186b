/** A request that a module can answer, for the line that a person tries first. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readGoldenFile } from '#shared/package/golden-file.js';
import type { TensorDescription } from '#shared/package/onnx/read-onnx.js';
import { readOnnx } from '#shared/package/onnx/read-onnx.js';
import type { ServedModule } from '#shared/supervisor/served-module.js';

/** Larger inputs make no example that anyone would read or send by hand. */
const maxElements = 1_000_000;
/** Of these the protocol has a JSON form. */
const inJson = new Set('BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 FP32 FP64 BYTES'.split(' '));

/** Undefined for a script, which may take anything, and for inputs that are no tensors. */
export async function exampleRequest({ manifest, folder }: ServedModule): Promise<object | undefined> {
  if (manifest.golden !== undefined) {
    const path = join(folder, manifest.golden.file);
    return readGoldenFile(await readFile(path), path)[0]?.request;
  }
  const [model] = manifest.models;
  if (manifest.flavor !== 'onnx' || model === undefined) return undefined;
  const { signature } = await readOnnx(join(folder, model.file));
  return requestOfNothing(signature.inputs);
}

/** Zeros, false and empty text; 1 for each free dimension. */
export function requestOfNothing(inputs: readonly TensorDescription[]): object | undefined {
  const tensors = inputs.map(({ name, datatype, shape }) => {
    const sizes = shape.map((size) => (typeof size === 'string' || size < 0 ? 1 : size));
    const elements = sizes.reduce((product, size) => product * size, 1);
    if (!inJson.has(datatype) || shape.includes('...') || elements > maxElements) return undefined;
    const nothing = datatype === 'BOOL' ? false : datatype === 'BYTES' ? '' : 0;
    return { name, datatype, shape: sizes, data: Array.from({ length: elements }, () => nothing) };
  });
  return tensors.includes(undefined) ? undefined : { inputs: tensors };
}
