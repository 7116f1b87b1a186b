import { describe, expect, it } from 'vitest';
import { type Segment, type SegmentRules, Segments } from '#modules/voice-activity/segments.js';

const rules: SegmentRules = { threshold: 0.5, minSpeechMs: 250, minSilenceMs: 100, padMs: 0 };
/** One frame of 50 ms a letter: S speech, - silence, ~ between the two thresholds. */
const likely: Record<string, number> = { S: 0.9, '-': 0.1, '~': 0.4 };
const frameMs = 50;

function mark(frames: string, more: Partial<SegmentRules> = {}): Segment[] {
  const segments = new Segments({ ...rules, ...more });
  const found = [...frames].map((letter, at) => segments.push(likely[letter] ?? 0, at * frameMs, (at + 1) * frameMs));
  return [...found, segments.finish(frames.length * frameMs)].filter((segment) => segment !== undefined);
}

describe('segments of speech', () => {
  it('reach from the first frame of speech to the first of silence', () => {
    expect(mark('--SSSSSS----')).toEqual([{ start: 0.1, end: 0.4 }]);
  });

  it('go on over a silence shorter than the least', () => {
    expect(mark('SSSSSS-SSSSSS----')).toEqual([{ start: 0, end: 0.65 }]);
    expect(mark('SSSSSS--SSSSSS----')).toHaveLength(2);
  });

  it('go on while a frame is neither, and do not begin with one', () => {
    expect(mark('~~SSSSSS~~~~SS----')).toEqual([{ start: 0.1, end: 0.7 }]);
    expect(mark('~~~~~~~~~')).toEqual([]);
  });

  it('are left out when they are shorter than the least', () => {
    expect(mark('--SSSS-----')).toEqual([]);
    expect(mark('--SSSS-----', { minSpeechMs: 200 })).toHaveLength(1);
  });

  it('that are open at the end, end there', () => {
    expect(mark('--SSSSSS')).toEqual([{ start: 0.1, end: 0.4 }]);
    expect(mark('--SSSSSS-')).toEqual([{ start: 0.1, end: 0.4 }]);
  });

  it('are padded, but not before the beginning, past what was heard, or into each other', () => {
    expect(mark('SSSSSS--SSSSSS', { padMs: 80 })).toEqual([
      { start: 0, end: 0.38 },
      { start: 0.38, end: 0.7 },
    ]);
  });
});
