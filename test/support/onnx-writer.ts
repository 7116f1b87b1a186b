/** Writes small ONNX files from a description: the few fields of the protobuf that a test's graph needs. */
import { bytes, number } from './protobuf-writer.js';

export type Dimension = number | string;

export interface GraphTensor {
  readonly name: string;
  /** Element type as ONNX numbers it: 1 FLOAT, 2 UINT8, 7 INT64, 8 STRING, 9 BOOL, 10 FLOAT16, … */
  readonly type: number;
  readonly shape: readonly Dimension[];
}

export interface Initializer {
  readonly name: string;
  readonly type: number;
  readonly shape: readonly number[];
  readonly raw: Uint8Array;
}

export interface GraphNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly ints?: Readonly<Record<string, number | readonly number[]>>;
}

export interface Graph {
  readonly name: string;
  readonly inputs: readonly GraphTensor[];
  readonly outputs: readonly GraphTensor[];
  readonly nodes: readonly GraphNode[];
  readonly initializers?: readonly Initializer[];
}

export function writeOnnx(graph: Graph): Buffer {
  const body = [
    ...graph.nodes.map((node) => bytes(1, nodeProto(node))),
    text(2, graph.name),
    ...(graph.initializers ?? []).map((tensor) => bytes(5, tensorProto(tensor))),
    ...graph.inputs.map((tensor) => bytes(11, valueInfo(tensor))),
    ...graph.outputs.map((tensor) => bytes(12, valueInfo(tensor))),
  ];
  const opset = Buffer.concat([text(1, ''), number(2, 17)]);
  return Buffer.concat([number(1, 8), bytes(7, Buffer.concat(body)), bytes(8, opset)]);
}

function nodeProto({ op, inputs, outputs, ints = {} }: GraphNode): Buffer {
  return Buffer.concat([
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(4, op),
    ...Object.entries(ints).map(([name, value]) => bytes(5, attribute(name, value))),
  ]);
}

function attribute(name: string, value: number | readonly number[]): Buffer {
  if (typeof value === 'number') return Buffer.concat([text(1, name), number(3, value), number(20, 2)]);
  return Buffer.concat([text(1, name), ...value.map((item) => number(8, item)), number(20, 7)]);
}

function tensorProto({ name, type, shape, raw }: Initializer): Buffer {
  return Buffer.concat([...shape.map((size) => number(1, size)), number(2, type), text(8, name), bytes(9, raw)]);
}

function valueInfo({ name, type, shape }: GraphTensor): Buffer {
  const dimensions = shape.map((size) => bytes(1, typeof size === 'number' ? number(1, size) : text(2, size)));
  const tensorType = Buffer.concat([number(1, type), bytes(2, Buffer.concat(dimensions))]);
  return Buffer.concat([text(1, name), bytes(2, bytes(1, tensorType))]);
}

function text(field: number, value: string): Buffer {
  return bytes(field, value);
}

/** Weights that are the same on every machine: a linear congruential sequence in [-scale, scale). */
export function weights(count: number, scale: number, seed: number): Uint8Array {
  const out = new Float32Array(count);
  let state = seed >>> 0;
  for (let index = 0; index < count; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[index] = (state / 2 ** 31 - 1) * scale;
  }
  return new Uint8Array(out.buffer);
}

/** One input `x`, one output `y`, equal. */
export function identityModel(type: number, shape: readonly Dimension[]): Buffer {
  return writeOnnx({
    name: 'identity',
    inputs: [{ name: 'x', type, shape }],
    outputs: [{ name: 'y', type, shape }],
    nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }],
  });
}

/**
 * `layers` 3x3 convolutions with rectifiers over `[1, 3, size, size]`, then the mean of each channel:
 * about the work of MobileNet for 12 layers, 24 channels and 112 pixels.
 */
export function convolutionModel(options: {
  layers: number;
  channels: number;
  size: number;
  /** Every this many layers halve the image; 0 never does: much work for little input. */
  halveEvery?: number;
}): Buffer {
  const { layers, channels, size, halveEvery = 4 } = options;
  const nodes: GraphNode[] = [];
  const initializers: Initializer[] = [];
  let from = 'x';
  for (let layer = 0; layer < layers; layer++) {
    const inputs = layer === 0 ? 3 : channels;
    const count = channels * inputs * 9;
    const name = `w${String(layer)}`;
    initializers.push({
      name,
      type: 1,
      shape: [channels, inputs, 3, 3],
      raw: weights(count, 1 / Math.sqrt(inputs * 9), layer + 1),
    });
    const strides = halveEvery > 0 && layer % halveEvery === 0 ? [2, 2] : [1, 1];
    nodes.push({
      op: 'Conv',
      inputs: [from, name],
      outputs: [`c${String(layer)}`],
      ints: { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides },
    });
    nodes.push({ op: 'Relu', inputs: [`c${String(layer)}`], outputs: [`r${String(layer)}`] });
    from = `r${String(layer)}`;
  }
  nodes.push({ op: 'GlobalAveragePool', inputs: [from], outputs: ['p'] });
  nodes.push({ op: 'Flatten', inputs: ['p'], outputs: ['y'] });
  return writeOnnx({
    name: 'convolutions',
    inputs: [{ name: 'x', type: 1, shape: ['batch', 3, size, size] }],
    outputs: [{ name: 'y', type: 1, shape: ['batch', channels] }],
    nodes,
    initializers,
  });
}
