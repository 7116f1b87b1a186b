/**
 * The limit: onnxruntime alone, one run after another, in one thread. Lines of JSON in and out: a run on given
 * inputs, or rounds of so many seconds with so many rows a run.
 */
import * as ort from 'onnxruntime-node';
import { LatencyHistogram } from '../latency-histogram.js';
import { answerLines } from '../line-process.js';
import type { LoadResult } from '../load.js';
import type { BenchTensor } from './wire.js';

export type BareQuestion =
  | { readonly kind: 'run'; readonly inputs: readonly BenchTensor[] }
  | {
      readonly kind: 'round';
      readonly inputs: readonly BenchTensor[];
      readonly rows: number;
      readonly seconds: number;
    };

const session = await ort.InferenceSession.create(process.argv[2] ?? '', {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  extra: { session: { intra_op: { allow_spinning: '0' } } },
});

await answerLines<BareQuestion>(async (question) => {
  if (question.kind === 'run') {
    const results = await session.run(feedsOf(question.inputs, 1));
    return session.outputNames.map((name) => fromOrt(name, results[name]));
  }
  return round(feedsOf(question.inputs, question.rows), question.rows, question.seconds);
});

async function round(feeds: Record<string, ort.Tensor>, rows: number, seconds: number): Promise<LoadResult> {
  const latency = new LatencyHistogram();
  const started = performance.now();
  const until = started + seconds * 1000;
  let answers = 0;
  for (let now = started; now < until; ) {
    await session.run(feeds);
    const after = performance.now();
    latency.add(after - now);
    now = after;
    answers += rows;
  }
  return { answers, failures: 0, seconds: (performance.now() - started) / 1000, latency: latency.encode() };
}

function feedsOf(inputs: readonly BenchTensor[], rows: number): Record<string, ort.Tensor> {
  return Object.fromEntries(
    inputs.map(({ name, datatype, shape, data }) => {
      const [first = 1, ...rest] = shape;
      const all = Array.from({ length: rows }, () => data).flat();
      const batched = shape.length === 0 ? [] : [first * rows, ...rest];
      return [
        name,
        datatype === 'FP32'
          ? new ort.Tensor('float32', Float32Array.from(all), batched)
          : new ort.Tensor('int64', BigInt64Array.from(all.map(BigInt)), batched),
      ];
    }),
  );
}

function fromOrt(name: string, tensor: ort.OnnxValue | undefined): BenchTensor {
  if (!tensor || !('dims' in tensor)) throw new Error(`output "${name}" is no tensor`);
  const data = Array.from(tensor.data as Float32Array | BigInt64Array, Number);
  return { name, datatype: tensor.type === 'int64' ? 'INT64' : 'FP32', shape: tensor.dims, data };
}
