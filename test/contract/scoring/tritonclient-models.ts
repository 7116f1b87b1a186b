/** What Triton's client is given to ask: its examples' sum and difference, and one echo for each datatype. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostedModule } from '#shared/scoring/host-protocol.js';
import { identityModel, writeOnnx } from '#test/support/onnx-writer.js';
import { hostedModule } from '#test/support/scoring-harness.js';

/** Element types as ONNX numbers them. */
const elementTypes = {
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
} as const;
export type Echoed = keyof typeof elementTypes;

/** Half floats cannot be exchanged with the runtime where JavaScript has an array of its own for them. */
export const echoed = (Object.keys(elementTypes) as Echoed[]).filter(
  (datatype) => datatype !== 'FP16' || Reflect.get(globalThis, 'Float16Array') === undefined,
);

export async function writeTritonModels(folder: string): Promise<HostedModule[]> {
  await mkdir(folder, { recursive: true });
  const type = elementTypes.INT32;
  const shape = [1, 16];
  const simple = writeOnnx({
    name: 'simple',
    inputs: ['INPUT0', 'INPUT1'].map((name) => ({ name, type, shape })),
    outputs: ['OUTPUT0', 'OUTPUT1'].map((name) => ({ name, type, shape })),
    nodes: [
      { op: 'Add', inputs: ['INPUT0', 'INPUT1'], outputs: ['OUTPUT0'] },
      { op: 'Sub', inputs: ['INPUT0', 'INPUT1'], outputs: ['OUTPUT1'] },
    ],
  });
  await writeFile(join(folder, 'simple.onnx'), simple);
  for (const datatype of echoed) {
    const model = identityModel(elementTypes[datatype], ['rows', 'columns']);
    await writeFile(join(folder, `${datatype}.onnx`), model);
  }
  return [
    hostedModule(folder, 'simple.onnx', { name: 'simple', version: 1 }),
    hostedModule(folder, 'simple.onnx', { name: 'simple', version: 2 }),
    hostedModule(folder, 'FP32.onnx', { name: 'unloadable' }),
    ...echoed.map((datatype) =>
      hostedModule(folder, `${datatype}.onnx`, { name: `identity_${datatype.toLowerCase()}` }),
    ),
  ];
}

/** Of `tritonclient.py`, by HTTP as by gRPC. */
export const generalChecks = [
  'liveness and readiness',
  'server metadata',
  'model metadata, of all versions and of one',
  "sum and difference, as the client's examples ask for them",
  'one output in binary, one in JSON',
  'only the outputs that were asked for',
  "the request's id comes back",
  'the version asked for answers, the newest where none is',
  'priority, timeout and own parameters do no harm',
  'a row batch of any size',
  'a tensor without elements',
  'many requests at once, each with its own answer',
  'a wrong model, version, input, output, type or shape is refused with a word',
  'statistics, of one model and of all',
  "the repository's index",
  'unload and load, by who may',
  'load and unload are refused to others, and for models that are not there',
  'what is not served is refused as the protocol says',
] as const;
