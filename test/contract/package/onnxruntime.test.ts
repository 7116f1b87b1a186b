import { fileURLToPath } from 'node:url';
import { InferenceSession } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { readOnnx, type TensorDescription } from '#shared/package/onnx/read-onnx.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const files = [
  'modules/digits/model.onnx',
  'modules/digits/model-v2.onnx',
  ...['add-one', 'mlp-64', 'external/model', 'string-identity', 'two-inputs', 'scalar-int64'].map(
    (name) => `test/fixtures/models/${name}.onnx`,
  ),
];

/** The runtime's names of the types that the fixtures have. */
const names: Readonly<Record<string, string>> = { FP32: 'float32', INT64: 'int64', BOOL: 'bool', BYTES: 'string' };
const told = ({ name, datatype, shape }: TensorDescription): unknown => ({ name, type: names[datatype], shape });

describe('onnxruntime', () => {
  it.each(files)('sees the inputs and outputs of %s as our reader does', async (file) => {
    const session = await InferenceSession.create(root + file);
    const { signature } = await readOnnx(root + file);
    const seen = (all: readonly InferenceSession.ValueMetadata[]): unknown[] =>
      all.map((one) => (one.isTensor ? { name: one.name, type: one.type, shape: [...one.shape] } : one));
    expect(signature.inputs.map(told)).toEqual(seen(session.inputMetadata));
    expect(signature.outputs.map(told)).toEqual(seen(session.outputMetadata));
    await session.release();
  });
});
