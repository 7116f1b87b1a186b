/**
 * One stream of sound: samples in, segments of speech out. What the model remembers is kept here from frame
 * to frame, so that chunks of any size mean the same as one piece.
 */
import { Resampler } from './resampler.js';
import { type Segment, type SegmentRules, Segments } from './segments.js';

/** What the model takes at a time: 32 ms, after the last 4 ms of the frame before. */
const sampleRate = 16_000;
const frame = 512;
const overlap = 64;
const memory = [2, 1, 128] as const;

export interface VadModel {
  infer(inputs: {
    readonly input: { datatype: 'FP32'; shape: [1, number]; data: Float32Array };
    readonly state: { datatype: 'FP32'; shape: readonly [2, 1, 128]; data: Float32Array };
    /** A scalar. */
    readonly sr: { datatype: 'INT64'; shape: []; data: BigInt64Array };
  }): Promise<{ readonly output: { readonly data: Float32Array }; readonly stateN: { readonly data: Float32Array } }>;
}

export class Listener {
  private readonly resampler: Resampler;
  private readonly segments: Segments;
  private before: Float32Array = new Float32Array(overlap);
  private state: Float32Array = new Float32Array(memory[0] * memory[1] * memory[2]);
  private waiting: Float32Array = new Float32Array(0);
  private heard = 0;

  constructor(
    readonly inputRate: number,
    rules: SegmentRules,
    private readonly model: VadModel,
    private readonly onFrame: (likelihood: number) => void = () => undefined,
  ) {
    this.resampler = new Resampler(inputRate, sampleRate);
    this.segments = new Segments(rules);
  }

  /** Of what was judged; up to a frame more may have come. */
  get seconds(): number {
    return this.heard / sampleRate;
  }

  private get milliseconds(): number {
    return (this.heard * 1000) / sampleRate;
  }

  get speaking(): boolean {
    return this.segments.speaking;
  }

  /** @returns the segments that ended in it */
  async push(samples: Float32Array): Promise<Segment[]> {
    const ended: Segment[] = [];
    // Second by second: a long recording must not keep the process from all else.
    for (let at = 0; at < samples.length; at += this.inputRate) {
      ended.push(...(await this.listen(this.resampler.push(samples.subarray(at, at + this.inputRate)))));
    }
    return ended;
  }

  /** The last frame is filled up with silence. */
  async finish(): Promise<Segment[]> {
    const ended = await this.listen(this.resampler.finish());
    const rest = this.waiting.length;
    if (rest > 0) ended.push(...(await this.listen(new Float32Array(frame - rest))));
    this.heard -= rest > 0 ? frame - rest : 0;
    const last = this.segments.finish(this.milliseconds);
    return last === undefined ? ended : [...ended, last];
  }

  private async listen(samples: Float32Array): Promise<Segment[]> {
    const all = joined(this.waiting, samples);
    const ended: Segment[] = [];
    let at = 0;
    for (; at + frame <= all.length; at += frame) {
      const likelihood = await this.judge(all.subarray(at, at + frame));
      this.onFrame(likelihood);
      const from = this.milliseconds;
      this.heard += frame;
      const segment = this.segments.push(likelihood, from, this.milliseconds);
      if (segment !== undefined) ended.push(segment);
    }
    this.waiting = all.slice(at);
    return ended;
  }

  private async judge(samples: Float32Array): Promise<number> {
    const input = joined(this.before, samples);
    const { output, stateN } = await this.model.infer({
      input: { datatype: 'FP32', shape: [1, input.length], data: input },
      state: { datatype: 'FP32', shape: memory, data: this.state },
      sr: { datatype: 'INT64', shape: [], data: BigInt64Array.of(BigInt(sampleRate)) },
    });
    this.before = input.slice(-overlap);
    this.state = stateN.data;
    return output.data[0] ?? 0;
  }
}

function joined(first: Float32Array, second: Float32Array): Float32Array {
  const all = new Float32Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}
