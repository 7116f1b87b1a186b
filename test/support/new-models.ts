/** Tiny models of kinds that Flotilla ships none of: of colour pictures, and of texts as the ids of their words. */
import { type Graph, weights, writeOnnx } from './onnx-writer.js';

const float = 1;
const int64 = 7;

/** `[batch, 3, height, width]` to four classes, for pictures of any size from 2 pixels. */
export function pictureModel(): Buffer {
  return writeOnnx({
    name: 'pictures',
    inputs: [{ name: 'pixel.values', type: float, shape: ['batch', 3, 'height', 'width'] }],
    outputs: [{ name: 'scores', type: float, shape: ['batch', 4] }],
    nodes: [
      { op: 'Conv', inputs: ['pixel.values', 'w'], outputs: ['c'], ints: { kernel_shape: [2, 2] } },
      { op: 'Relu', inputs: ['c'], outputs: ['r'] },
      { op: 'GlobalAveragePool', inputs: ['r'], outputs: ['p'] },
      { op: 'Flatten', inputs: ['p'], outputs: ['f'] },
      { op: 'Softmax', inputs: ['f'], outputs: ['scores'] },
    ],
    initializers: [{ name: 'w', type: float, shape: [4, 3, 2, 2], raw: weights(48, 1, 5) }],
  });
}

const words = 50;
const width = 8;

/** Ids of words and which of them count, `[batch, words]` int64, to two classes. */
export function textModel(): Buffer {
  const graph: Graph = {
    name: 'texts',
    inputs: [
      { name: 'input_ids', type: int64, shape: ['batch', 'words'] },
      { name: 'attention_mask', type: int64, shape: ['batch', 'words'] },
    ],
    outputs: [
      { name: 'logits', type: float, shape: ['batch', 2] },
      { name: 'label', type: int64, shape: ['batch'] },
    ],
    nodes: [
      { op: 'Gather', inputs: ['table', 'input_ids'], outputs: ['vectors'] },
      { op: 'Cast', inputs: ['attention_mask'], outputs: ['mask'], ints: { to: float } },
      { op: 'Unsqueeze', inputs: ['mask', 'last'], outputs: ['column'] },
      { op: 'Mul', inputs: ['vectors', 'column'], outputs: ['masked'] },
      { op: 'ReduceSum', inputs: ['masked', 'middle'], outputs: ['sum'], ints: { keepdims: 0 } },
      { op: 'MatMul', inputs: ['sum', 'head'], outputs: ['logits'] },
      { op: 'ArgMax', inputs: ['logits'], outputs: ['label'], ints: { axis: 1, keepdims: 0 } },
    ],
    initializers: [
      { name: 'table', type: float, shape: [words, width], raw: weights(words * width, 1, 11) },
      { name: 'head', type: float, shape: [width, 2], raw: weights(width * 2, 1, 13) },
      { name: 'last', type: int64, shape: [1], raw: new Uint8Array(BigInt64Array.of(2n).buffer) },
      { name: 'middle', type: int64, shape: [1], raw: new Uint8Array(BigInt64Array.of(1n).buffer) },
    ],
  };
  return writeOnnx(graph);
}
