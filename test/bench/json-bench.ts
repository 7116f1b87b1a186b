/** JSON bodies to tensors and back: microseconds a body, beside the general parser and writer. */
import { requestFromJson, readInferRequest } from '#shared/scoring/codec/infer-request.js';
import { dataToJson } from '#shared/scoring/codec/json-data.js';
import { parseJsonText } from '#shared/scoring/codec/json-text.js';
import { readScoreRequest } from '#shared/scoring/codec/plain-request.js';
import type { ModelSignature, Tensor } from '#shared/scoring/codec/tensor.js';
import { median, printRatios, type Ratio } from './report.js';

const rounds = 9;
const signature: ModelSignature = { inputs: [{ name: 'x', datatype: 'FP32', shape: ['n', 64] }], outputs: [] };

export function run(): Promise<void> {
  const ratios: Ratio[] = [];
  for (const count of [64, 150_016]) {
    const floats = Float32Array.from({ length: count }, (_, index) => Math.sin(index + 1));
    // As clients write floats: some the shortest text of the float, some that of the double.
    for (const [form, digits] of [
      ['8 digits', (value: number) => String(Number(value.toPrecision(8)))],
      ['17 digits', String],
    ] as const) {
      const list = `[${Array.from(floats, digits).join(',')}]`;
      const infer = encode(
        `{"inputs":[{"name":"x","shape":[${String(count / 64)},64],"datatype":"FP32","data":${list}}]}`,
      );
      const rows = list.slice(1, -1).split(',');
      const nested = Array.from(
        { length: count / 64 },
        (_, row) => `[${rows.slice(64 * row, 64 * row + 64).join(',')}]`,
      );
      const plain = encode(`{"x":[${nested.join(',')}]}`);
      const general = (): unknown => requestFromJson(parseJsonText(infer), undefined).inputs[0]?.data();
      ratios.push(
        compare(
          `read V2, ${String(count)} floats, ${form}`,
          count,
          () => readInferRequest(infer, undefined).inputs[0]?.data(),
          general,
        ),
        compare(
          `read /score, ${String(count)} floats, ${form}`,
          count,
          () => readScoreRequest(plain, signature),
          general,
        ),
      );
    }
    // Texts of numbers are cached by the runtime: each run writes others.
    const tensors = Array.from({ length: Math.ceil(1_000_000 / count) }, (_, step): Tensor => {
      const data = floats.map((value, index) => value * Math.cos(index + step * count));
      return { name: 'y', datatype: 'FP32', shape: [count], data };
    });
    const next = (): Tensor => {
      const tensor = tensors.shift();
      if (!tensor) throw new Error('no tensors');
      tensors.push(tensor);
      return tensor;
    };
    ratios.push(
      compare(
        `write ${String(count)} floats`,
        count,
        () => dataToJson(next()),
        () => `[${(next().data as Float32Array).join(',')}]`,
      ),
    );
  }
  printRatios(ratios);
  return Promise.resolve();
}

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function compare(what: string, count: number, ours: () => unknown, limit: () => unknown): Ratio {
  const runs = Math.max(1, Math.round(640_000 / count));
  const measured = Array.from({ length: rounds }, () => [time(ours, runs), time(limit, runs)] as const);
  return {
    what,
    ours: median(measured.map(([each]) => each)),
    limit: median(measured.map(([, each]) => each)),
    unit: 'us',
  };
}

function time(act: () => unknown, runs: number): number {
  const start = process.hrtime.bigint();
  for (let index = 0; index < runs; index++) act();
  return Number(process.hrtime.bigint() - start) / runs / 1000;
}
