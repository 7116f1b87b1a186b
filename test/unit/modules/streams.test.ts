import { describe, expect, it } from 'vitest';
import { Listener, type VadModel } from '#modules/voice-activity/listener.js';
import { Streams } from '#modules/voice-activity/streams.js';

const rules = { threshold: 0.5, minSpeechMs: 0, minSilenceMs: 0, padMs: 0 };
/** A model that hears speech in whatever is loud, and counts in its state how many frames it was asked about. */
class LoudModel implements VadModel {
  calls = 0;
  fails = false;
  readonly counted: number[] = [];
  async infer({ input, state }: Parameters<VadModel['infer']>[0]): Promise<Awaited<ReturnType<VadModel['infer']>>> {
    this.calls += 1;
    // Later calls are answered sooner, so that what does not wait its turn overtakes.
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, 5 - this.calls)));
    if (this.fails) throw new Error('the model failed');
    const stateN = state.data.slice();
    stateN[0] = (stateN[0] ?? 0) + 1;
    this.counted.push(stateN[0]);
    return { output: { data: Float32Array.of((input.data.at(-1) ?? 0) > 0.5 ? 0.9 : 0.1) }, stateN: { data: stateN } };
  }
}

const frames = (...levels: number[]): { samples: Float32Array; sampleRate: number } => ({
  samples: Float32Array.from(levels.flatMap((level) => new Array<number>(512).fill(level))),
  sampleRate: 16_000,
});

function make(most = 8): { streams: Streams; model: LoudModel; forgotten: string[] } {
  const model = new LoudModel();
  const forgotten: string[] = [];
  const streams = new Streams(
    most,
    (rate) => new Listener(rate, rules, model),
    (stream) => forgotten.push(stream),
  );
  return { streams, model, forgotten };
}

describe('streams', () => {
  it('are judged chunk after chunk in the order they came in, each with a state of its own', async () => {
    const { streams, model } = make();
    const answers = await Promise.all([
      streams.push('a', frames(0, 1), false),
      streams.push('b', frames(1), false),
      streams.push('a', frames(1, 0), false),
    ]);
    expect(answers).toEqual([
      { stream: 'a', seconds: 0.064, speaking: true, segments: [] },
      { stream: 'b', seconds: 0.032, speaking: true, segments: [] },
      { stream: 'a', seconds: 0.128, speaking: false, segments: [{ start: 0.032, end: 0.096 }] },
    ]);
    expect(model.counted.sort()).toEqual([1, 1, 2, 3, 4]);
  });

  it('end with their last chunk, filled up with silence, and begin anew after it', async () => {
    const { streams } = make();
    const half = { samples: new Float32Array(256).fill(1), sampleRate: 16_000 };
    await streams.push('a', frames(1, 1), false);
    expect(await streams.push('a', half, true)).toEqual({
      ...{ stream: 'a', seconds: 0.08, speaking: false },
      segments: [{ start: 0, end: 0.064 }],
    });
    expect(await streams.push('a', frames(0), false)).toMatchObject({ seconds: 0.032 });
  });

  it('refuse another sample rate in the middle', async () => {
    const { streams } = make();
    await streams.push('a', frames(0), false);
    expect(() => streams.push('a', { ...frames(0), sampleRate: 8000 }, false)).toThrow(/16000.*8000/);
  });

  it('begin anew after a chunk that the model failed on', async () => {
    const { streams, model } = make();
    await streams.push('a', frames(0, 0), false);
    model.fails = true;
    await expect(streams.push('a', frames(0), false)).rejects.toThrow('the model failed');
    model.fails = false;
    expect(await streams.push('a', frames(0), false)).toMatchObject({ seconds: 0.032 });
  });

  it('of more than there may be, forget the one that was not heard of for longest', async () => {
    const { streams, forgotten } = make(2);
    for (const stream of ['a', 'b', 'a', 'c']) await streams.push(stream, frames(0), false);
    expect(forgotten).toEqual(['b']);
    expect(await streams.push('a', frames(0), false)).toMatchObject({ seconds: 0.096 });
  });
});
