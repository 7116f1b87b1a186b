/**
 * One classifier of ten pictures in five makes, all of them right on their golden vectors: two as it should be, one that
 * is led astray by dim pictures, one that does its work three times, and one that fails on a pixel that is too bright.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Graph, type GraphNode, type Initializer, weights, writeOnnx } from './onnx-writer.js';

export const makes = ['good', 'astray', 'slow', 'failing', 'better'] as const;
export type Make = (typeof makes)[number];

const [float, int64] = [1, 7];
const [pixels, classes] = [64, 10];
const templates = new Float32Array(weights(pixels * classes, 1, 23).buffer);
/** Rounds of work of each, five milliseconds or so, and how often the slow one does them. */
const [width, rounds, slowTimes] = [256, 40, 3];

function makeModel(make: Make): Buffer {
  const nodes: GraphNode[] = [{ op: 'MatMul', inputs: ['x', 'w'], outputs: ['told'] }];
  const initializers: Initializer[] = [{ name: 'w', type: float, shape: [pixels, classes], raw: bytesOf(templates) }];
  const add = (node: GraphNode, ...more: readonly Initializer[]): void => {
    nodes.push(node);
    initializers.push(...more);
  };
  addWork(add, make === 'slow' ? slowTimes : 1);
  add({ op: 'Add', inputs: ['told', 'nothing'], outputs: ['raw'] });
  if (make === 'astray') {
    // Bright pictures outdo it, dim ones do not.
    const raw = bytesOf(Float32Array.from({ length: classes }, (_, index) => (index === 0 ? 40 : 0)));
    add(
      { op: 'Add', inputs: ['raw', 'bias'], outputs: ['logits'] },
      { name: 'bias', type: float, shape: [classes], raw },
    );
  } else if (make === 'failing') {
    // A table of thirty-two, asked for the brightest pixel.
    add({ op: 'ReduceMax', inputs: ['x'], outputs: ['most'], ints: { keepdims: 0 } });
    add({ op: 'Cast', inputs: ['most'], outputs: ['place'], ints: { to: int64 } });
    const raw = bytesOf(new Float32Array(32));
    add(
      { op: 'Gather', inputs: ['table', 'place'], outputs: ['found'] },
      { name: 'table', type: float, shape: [32], raw },
    );
    add({ op: 'Add', inputs: ['raw', 'found'], outputs: ['logits'] });
  } else {
    add({ op: 'Identity', inputs: ['raw'], outputs: ['logits'] });
  }
  add({ op: 'ArgMax', inputs: ['logits'], outputs: ['label'], ints: { axis: 1, keepdims: 0 } });
  const graph: Graph = {
    ...{ name: make, nodes, initializers },
    inputs: [{ name: 'x', type: float, shape: ['batch', pixels] }],
    outputs: [
      { name: 'logits', type: float, shape: ['batch', classes] },
      { name: 'label', type: int64, shape: ['batch'] },
    ],
  };
  return writeOnnx(graph);
}

/** Products of matrices, one of another, and nothing of them in the answer. */
function addWork(add: (node: GraphNode, ...more: readonly Initializer[]) => void, times: number): void {
  const last = `m${String(rounds * times)}`;
  const [spread, turn] = [weights(pixels * width, 0.1, 29), weights(width * width, 0.1, 31)];
  const zero = { name: 'zero', type: float, shape: [1], raw: bytesOf(new Float32Array(1)) };
  add(
    { op: 'MatMul', inputs: ['x', 'spread'], outputs: ['v'] },
    { name: 'spread', type: float, shape: [pixels, width], raw: spread },
  );
  add(
    { op: 'Transpose', inputs: ['v'], outputs: ['t'] },
    { name: 'turn', type: float, shape: [width, width], raw: turn },
  );
  add({ op: 'MatMul', inputs: ['t', 'v'], outputs: ['m0'] });
  for (let round = 0; round < rounds * times; round++) {
    add({ op: 'MatMul', inputs: [`m${String(round)}`, 'turn'], outputs: [`m${String(round + 1)}`] });
  }
  add({ op: 'ReduceMean', inputs: [last], outputs: ['mean'] }, zero);
  add({ op: 'Mul', inputs: ['mean', 'zero'], outputs: ['nothing'] });
}

/** A picture of a class. @param light 1 as in the golden vectors */
function picture(label: number, light: number, seed: number): number[] {
  const noise = new Float32Array(weights(pixels, 0.1, seed + 1).buffer);
  return Array.from({ length: pixels }, (_, pixel) => {
    const ink = Math.max(0, templates[pixel * classes + label] ?? 0) + Math.abs(noise[pixel] ?? 0);
    return Number((16 * light * ink).toFixed(3));
  });
}

const input = (data: readonly number[]): object => ({
  inputs: [{ name: 'x', datatype: 'FP32', shape: [1, pixels], data }],
});

/** Requests as a camera sends them at dusk; of fifty one has a pixel that is too bright. */
export function liveRequests(): Buffer[] {
  return Array.from({ length: 50 }, (_, index) => {
    const data = picture(index % classes, 0.1, index);
    if (index === 49) data[0] = 40;
    return Buffer.from(JSON.stringify(input(data)));
  });
}

/** A folder to build an image from. Its golden vectors are pictures in daylight with their classes. */
export async function writeGateModule(folder: string, make: Make): Promise<void> {
  await mkdir(folder);
  await writeFile(join(folder, 'model.onnx'), makeModel(make));
  const golden = Array.from({ length: classes }, (_, label) => ({
    name: `class-${String(label)}`,
    request: { ...input(picture(label, 1, 100 + label)), outputs: [{ name: 'label' }] },
    response: { outputs: [{ name: 'label', datatype: 'INT64', shape: [1], data: [label] }] },
  }));
  await writeFile(join(folder, 'golden.json'), JSON.stringify(golden));
  await writeFile(join(folder, 'module.yaml'), manifest);
}

const manifest = `schema: 1
name: pictures
flavor: onnx
models: [{ name: pictures, file: model.onnx }]
golden: { file: golden.json }
telemetry:
  samplesPerSecond: 1000
  outputs: [{ name: label, as: categories }]
`;

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer);
}
