/**
 * Runs node tests with onnxruntime-node and nothing of ours, in a process of its own: some of them end it.
 * Arguments: the folder, then the file that names the tests. One line of JSON a test, in that order.
 */
import { readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import {
  type Answer,
  type CaseData,
  type CaseValue,
  datatypeOf,
  difference,
  type NodeCase,
  rawBytes,
  readCases,
} from './cases.js';

const types = {
  BOOL: ['bool', Uint8Array],
  UINT8: ['uint8', Uint8Array],
  UINT16: ['uint16', Uint16Array],
  UINT32: ['uint32', Uint32Array],
  UINT64: ['uint64', BigUint64Array],
  INT8: ['int8', Int8Array],
  INT16: ['int16', Int16Array],
  INT32: ['int32', Int32Array],
  INT64: ['int64', BigInt64Array],
  FP16: ['float16', Uint16Array],
  FP32: ['float32', Float32Array],
  FP64: ['float64', Float64Array],
} as const;

async function main(folder: string, listFile: string): Promise<void> {
  const wanted = new Set(JSON.parse(readFileSync(listFile, 'utf8')) as string[]);
  for (const test of (await readCases(folder)).filter(({ name }) => wanted.has(name))) {
    const failure = await run(folder, test).catch((error: unknown) => String(error).slice(0, 300));
    // Synchronous: what comes after may end the process.
    writeSync(1, `${JSON.stringify(failure === undefined ? { name: test.name } : { name: test.name, failure })}\n`);
  }
}

/** Why the test failed; undefined when it passed. */
async function run(folder: string, test: NodeCase): Promise<string | undefined> {
  const options = { intraOpNumThreads: 1, logSeverityLevel: 4 } as const;
  const session = await ort.InferenceSession.create(join(folder, `${test.name}.onnx`), options);
  try {
    for (const set of test.sets) {
      const feeds: Record<string, ort.Tensor> = {};
      for (const [index, value] of test.inputs.entries()) {
        const data = set.inputs[index];
        if (data) feeds[value.name] = toTensor(value, data);
      }
      const results = await session.run(feeds);
      for (const [index, value] of test.outputs.entries()) {
        const expected = set.outputs[index];
        const result = results[value.name];
        if (!expected) return `${value.name} is a ${value.kind}, which has no tensor`;
        if (!(result instanceof ort.Tensor)) return `${value.name} is no tensor`;
        const differs = difference(test, value, expected, toAnswer(result));
        if (differs !== undefined) return differs;
      }
    }
    return undefined;
  } finally {
    await session.release();
  }
}

function toTensor(value: CaseValue, data: CaseData): ort.Tensor {
  const datatype = datatypeOf(value);
  if (!datatype) throw new Error(`the binding has no ${value.type ?? value.kind}`);
  if (datatype === 'BYTES') return new ort.Tensor('string', [...(data.strings ?? [])], data.shape);
  const [type, Elements] = types[datatype];
  const bytes = Uint8Array.from(rawBytes(data));
  const elements = new Elements(bytes.buffer) as ort.Tensor['data'];
  return new ort.Tensor(type, elements, data.shape);
}

function toAnswer(tensor: ort.Tensor): Answer {
  if (tensor.type === 'string') return { shape: tensor.dims, strings: tensor.data as string[] };
  const { buffer, byteOffset, byteLength } = tensor.data as Uint8Array;
  // The binding gives float16 a view of the wrong length; the count is the shape's.
  const elements = tensor.dims.reduce((product, size) => product * size, 1);
  const length = tensor.type === 'float16' ? elements * 2 : byteLength;
  return { shape: tensor.dims, bytes: Buffer.from(buffer, byteOffset, length) };
}

const [folder, listFile] = process.argv.slice(2);
if (folder === undefined || listFile === undefined) throw new Error('usage: bare-child FOLDER LIST');
await main(folder, listFile);
