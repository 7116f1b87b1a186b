import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { encodeInferRequest } from '#shared/scoring/codec/infer-request.js';
import { readInferResponse } from '#shared/scoring/codec/infer-response.js';
import type { Tensor } from '#shared/scoring/codec/tensor.js';
import { answerGroup, type GroupAnswer, type RunnableModel } from '#shared/scoring/worker/answer-group.js';
import type { BodyRequest } from '#shared/scoring/worker/worker-protocol.js';

const identity = { answerName: 'm', answerVersion: '1' };
const signature = {
  inputs: [{ name: 'x', datatype: 'FP32' as const, shape: ['n', 2] }],
  outputs: [{ name: 'y', datatype: 'FP32' as const, shape: ['n', 2] }],
};

/** y = 2x, row by row; it remembers the rows of each run. */
class Doubler implements RunnableModel {
  readonly signature = signature;
  readonly runs: number[] = [];
  constructor(
    readonly maxBatchRows: number,
    private readonly refuse: (rows: number, data: Float32Array) => boolean = () => false,
  ) {}

  run(inputs: readonly Tensor[]): Tensor[] {
    const [x] = inputs;
    if (!x) throw new Error('no input');
    const data = x.data as Float32Array<ArrayBuffer>;
    this.runs.push(x.shape[0] ?? 0);
    if (this.refuse(x.shape[0] ?? 0, data)) throw new AppError('score.failed', 'it does not like that');
    return [{ name: 'y', datatype: 'FP32', shape: x.shape, data: data.map((value) => 2 * value) }];
  }
}

function request(...values: readonly number[]): BodyRequest {
  const data = Float32Array.from(values);
  const { body, jsonLength } = encodeInferRequest([
    { name: 'x', datatype: 'FP32', shape: [values.length / 2, 2], data },
  ]);
  return { form: 'infer', buffer: body.buffer, start: 0, length: body.length, jsonLength };
}

function values(answer: GroupAnswer | undefined): number[] | string {
  if (!answer?.ok) return answer?.problem.message ?? 'none';
  const { body, jsonLength } = answer.response;
  return [...((readInferResponse(body, jsonLength)[0]?.data ?? []) as Float32Array)];
}

const bug = (error: unknown): never => {
  throw error;
};

describe('requests that wait together', () => {
  it('run together, and each gets its own rows', async () => {
    const model = new Doubler(8);
    const { answers, runs } = await answerGroup(
      model,
      identity,
      [request(1, 2), request(3, 4, 5, 6), request(7, 8)],
      bug,
    );
    expect(answers.map(values)).toEqual([
      [2, 4],
      [6, 8, 10, 12],
      [14, 16],
    ]);
    expect(model.runs).toEqual([4]);
    expect(runs.map(({ rows }) => rows)).toEqual([4]);
  });

  it('run in as many runs as the limit of rows needs, none above it but what is larger by itself', async () => {
    const model = new Doubler(3);
    await answerGroup(
      model,
      identity,
      [request(1, 1), request(1, 1), request(1, 1, 1, 1), request(...new Array<number>(10).fill(1))],
      bug,
    );
    expect(model.runs.toSorted((a, b) => a - b)).toEqual([2, 2, 5]);
  });

  it('run one by one where the model is not batched', async () => {
    const model = new Doubler(0);
    const { answers } = await answerGroup(model, identity, [request(1, 2), request(3, 4)], bug);
    expect(answers.map(values)).toEqual([
      [2, 4],
      [6, 8],
    ]);
    expect(model.runs).toEqual([1, 1]);
  });

  it('suffer nothing from one of them that cannot be read', async () => {
    const broken = { ...request(1, 2), length: 20 };
    const { answers } = await answerGroup(new Doubler(8), identity, [request(1, 2), broken, request(3, 4)], bug);
    expect(values(answers[0])).toEqual([2, 4]);
    expect(values(answers[1])).toMatch(/body has 20 bytes/);
    expect(values(answers[2])).toEqual([6, 8]);
  });

  it('suffer nothing from one of them that the model refuses: each is run alone then', async () => {
    const model = new Doubler(8, (_rows, data) => data.includes(13));
    const { answers } = await answerGroup(model, identity, [request(1, 2), request(13, 4), request(3, 4)], bug);
    expect(answers.map(values)).toEqual([[2, 4], 'it does not like that', [6, 8]]);
  });

  it('are run alone when the outputs have other rows than the inputs', async () => {
    const model = new Doubler(8);
    const summing: RunnableModel = {
      signature,
      maxBatchRows: 8,
      run: (inputs) => {
        model.run(inputs);
        return [{ name: 'y', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(1, 1) }];
      },
    };
    const { answers } = await answerGroup(summing, identity, [request(1, 2), request(3, 4)], bug);
    expect(answers.map(values)).toEqual([
      [1, 1],
      [1, 1],
    ]);
    expect(model.runs).toEqual([2, 1, 1]);
  });
});
