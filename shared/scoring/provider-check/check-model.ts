/**
 * A small real model to try an execution provider with: two convolutions, a rectifier after each, and a
 * matrix product, with weights that are the same on every machine. Made here rather than shipped, so that
 * the bundled agent stays a few files of code.
 */

/** Edge of the square image that it takes. */
const size = 128;
const channels = 24;
const classes = 16;

export const checkInput = { name: 'x', shape: [1, 3, size, size] } as const;
export const checkOutput = 'y';

/** The values of the input. */
export function checkValues(): Float32Array {
  return sequence(3 * size * size, 1, 99);
}

export function checkModel(): Uint8Array {
  const pixels = (size / 4) ** 2;
  const graph = [
    message(1, convolution('x', 'w0', 'c0')),
    message(1, node('Relu', ['c0'], 'r0')),
    message(1, convolution('r0', 'w1', 'c1')),
    message(1, node('Relu', ['c1'], 'r1')),
    message(1, node('Flatten', ['r1'], 'f')),
    message(1, node('MatMul', ['f', 'w2'], 'y')),
    text(2, 'provider-check'),
    message(5, weights('w0', [channels, 3, 3, 3], 0.2, 1)),
    message(5, weights('w1', [channels, channels, 3, 3], 0.1, 2)),
    message(5, weights('w2', [channels * pixels, classes], 0.02, 3)),
    message(11, tensorInfo('x', checkInput.shape)),
    message(12, tensorInfo('y', [1, classes])),
  ];
  const irVersion = number(1, 8);
  const opset = message(8, Buffer.concat([text(1, ''), number(2, 17)]));
  return Buffer.concat([irVersion, message(7, Buffer.concat(graph)), opset]);
}

/** 3x3 with a stride of 2 and the border filled: halves the image. */
function convolution(input: string, weight: string, output: string): Buffer {
  const attributes = { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [2, 2] };
  return Buffer.concat([
    node('Conv', [input, weight], output),
    ...Object.entries(attributes).map(([name, values]) =>
      message(5, Buffer.concat([text(1, name), ...values.map((value) => number(8, value)), number(20, 7)])),
    ),
  ]);
}

function node(operator: string, inputs: readonly string[], output: string): Buffer {
  return Buffer.concat([...inputs.map((name) => text(1, name)), text(2, output), text(4, operator)]);
}

function weights(name: string, shape: readonly number[], scale: number, seed: number): Buffer {
  const count = shape.reduce((product, length) => product * length, 1);
  const values = new Uint8Array(sequence(count, scale, seed).buffer);
  return Buffer.concat([...shape.map((length) => number(1, length)), number(2, 1), text(8, name), message(9, values)]);
}

function tensorInfo(name: string, shape: readonly number[]): Buffer {
  const dimensions = shape.map((length) => message(1, number(1, length)));
  const tensor = Buffer.concat([number(1, 1), message(2, Buffer.concat(dimensions))]);
  return Buffer.concat([text(1, name), message(2, message(1, tensor))]);
}

/** Evenly spread in [-scale, scale): a linear congruential sequence. */
function sequence(count: number, scale: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 31 - 1) * scale;
  });
}

// The three forms of a protobuf field that a model needs.

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80);
  return Buffer.from([...bytes, rest]);
}

function number(field: number, value: number): Buffer {
  return Buffer.concat([varint(field * 8), varint(value)]);
}

function message(field: number, content: Uint8Array): Buffer {
  return Buffer.concat([varint(field * 8 + 2), varint(content.length), content]);
}

function text(field: number, content: string): Buffer {
  return message(field, Buffer.from(content));
}
