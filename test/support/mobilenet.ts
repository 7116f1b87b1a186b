/**
 * A network of MobileNetV2's form and size (Sandler and others, 2018): inverted residual blocks of pointwise,
 * depthwise and pointwise convolutions, 3.5 million parameters, 224x224 pixels. Its weights are made up, so what it
 * says means nothing; what it costs is what such a network costs.
 */
import { weights, writeOnnx, type GraphNode, type Initializer } from './onnx-writer.js';

/** Expansion, channels, repeats, stride of each stage, as the paper's table 2 gives them. */
const stages = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const;
const classes = 1000;

export function mobilenetModel(): Buffer {
  const net = new Network();
  let from = net.convolution('x', { from: 3, to: 32, kernel: 3, stride: 2, rectify: true });
  let channels = 32;
  for (const [expansion, to, repeats, firstStride] of stages) {
    for (let repeat = 0; repeat < repeats; repeat++) {
      const stride = repeat === 0 ? firstStride : 1;
      const wide = channels * expansion;
      let inner = from;
      if (expansion > 1) inner = net.convolution(inner, { from: channels, to: wide, kernel: 1, rectify: true });
      inner = net.convolution(inner, { from: wide, to: wide, kernel: 3, stride, depthwise: true, rectify: true });
      inner = net.convolution(inner, { from: wide, to, kernel: 1, rectify: false });
      from = stride === 1 && channels === to ? net.add(from, inner) : inner;
      channels = to;
    }
  }
  from = net.convolution(from, { from: channels, to: 1280, kernel: 1, rectify: true });
  net.classify(from, 1280);
  return writeOnnx({
    name: 'mobilenet',
    inputs: [{ name: 'x', type: 1, shape: ['batch', 3, 224, 224] }],
    outputs: [{ name: 'y', type: 1, shape: ['batch', classes] }],
    nodes: net.nodes,
    initializers: net.initializers,
  });
}

interface Convolution {
  readonly from: number;
  readonly to: number;
  readonly kernel: 1 | 3;
  readonly stride?: number;
  readonly depthwise?: boolean;
  /** Clip to 0 … 6 afterwards. */
  readonly rectify: boolean;
}

class Network {
  readonly nodes: GraphNode[] = [];
  readonly initializers: Initializer[] = [scalar('zero', 0), scalar('six', 6)];
  private count = 0;

  convolution(input: string, { from, to, kernel, stride = 1, depthwise = false, rectify }: Convolution): string {
    const inputs = depthwise ? 1 : from;
    const fanIn = inputs * kernel * kernel;
    const id = this.next();
    // Keeps what flows through at about the same size from layer to layer.
    const scale = Math.sqrt((rectify ? 6 : 3) / fanIn);
    this.weight(`${id}w`, [to, inputs, kernel, kernel], scale);
    this.weight(`${id}b`, [to], 0.05);
    const pad = (kernel - 1) / 2;
    this.nodes.push({
      op: 'Conv',
      inputs: [input, `${id}w`, `${id}b`],
      outputs: [id],
      ints: {
        kernel_shape: [kernel, kernel],
        pads: [pad, pad, pad, pad],
        strides: [stride, stride],
        group: depthwise ? from : 1,
      },
    });
    if (!rectify) return id;
    this.nodes.push({ op: 'Clip', inputs: [id, 'zero', 'six'], outputs: [`${id}r`] });
    return `${id}r`;
  }

  add(one: string, other: string): string {
    const id = this.next();
    this.nodes.push({ op: 'Add', inputs: [one, other], outputs: [id] });
    return id;
  }

  classify(input: string, channels: number): void {
    this.weight('classes', [channels, classes], Math.sqrt(3 / channels));
    this.weight('bias', [classes], 0.05);
    this.nodes.push({ op: 'GlobalAveragePool', inputs: [input], outputs: ['pooled'] });
    this.nodes.push({ op: 'Flatten', inputs: ['pooled'], outputs: ['flat'] });
    this.nodes.push({ op: 'Gemm', inputs: ['flat', 'classes', 'bias'], outputs: ['y'] });
  }

  private weight(name: string, shape: readonly number[], scale: number): void {
    const count = shape.reduce((product, size) => product * size, 1);
    this.initializers.push({ name, type: 1, shape, raw: weights(count, scale, this.initializers.length) });
  }

  private next(): string {
    this.count += 1;
    return `l${String(this.count)}`;
  }
}

function scalar(name: string, value: number): Initializer {
  return { name, type: 1, shape: [], raw: new Uint8Array(Float32Array.of(value).buffer) };
}
