/** What Triton's client is given to ask: its examples' sum and difference, and one echo for each datatype. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostedModule } from '#shared/scoring/host-protocol.js';
import { echoModules } from '#test/support/every-datatype.js';
import { writeOnnx } from '#test/support/onnx-writer.js';
import { hostedModule } from '#test/support/scoring-harness.js';

/** INT32, as ONNX numbers it. */
const type = 6;
const shape = [1, 16];

export async function writeTritonModels(folder: string): Promise<HostedModule[]> {
  await mkdir(folder, { recursive: true });
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
  const echoes = await echoModules(folder, ['rows', 'columns'], 'identity_');
  return [
    hostedModule(folder, 'simple.onnx', { name: 'simple', version: 1 }),
    hostedModule(folder, 'simple.onnx', { name: 'simple', version: 2 }),
    hostedModule(folder, 'FP32.onnx', { name: 'unloadable' }),
    ...echoes,
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
