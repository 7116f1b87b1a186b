/** From how likely each frame is speech to where somebody speaks, as Silero's own `get_speech_timestamps` does. */

export interface Segment {
  /** Seconds since the beginning. */
  readonly start: number;
  readonly end: number;
}

export interface SegmentRules {
  /** A frame at least as likely begins speech. */
  readonly threshold: number;
  /** Shorter speech is left out. */
  readonly minSpeechMs: number;
  /** Shorter silence does not end it. */
  readonly minSilenceMs: number;
  /** Added on either side, for sounds that begin softly. */
  readonly padMs: number;
}

/** Once somebody speaks, a frame must be less likely by this much to be silence. */
const hysteresis = 0.15;

export class Segments {
  /** Milliseconds since the beginning, as all times in here. */
  private start: number | undefined;
  private silentSince: number | undefined;
  private lastEnd = 0;

  constructor(private readonly rules: SegmentRules) {}

  get speaking(): boolean {
    return this.start !== undefined;
  }

  /** @returns the segment whose end this frame shows; it reaches from `at` to `until` */
  push(likelihood: number, at: number, until: number): Segment | undefined {
    const { threshold, minSilenceMs } = this.rules;
    if (likelihood >= threshold) {
      this.start ??= at;
      this.silentSince = undefined;
    } else if (this.start !== undefined && likelihood < threshold - hysteresis) {
      this.silentSince ??= at;
      if (until - this.silentSince >= minSilenceMs) return this.close(this.silentSince, until);
    }
    return undefined;
  }

  /** @returns what is still open at the end */
  finish(at: number): Segment | undefined {
    return this.start === undefined ? undefined : this.close(this.silentSince ?? at, at);
  }

  private close(end: number, now: number): Segment | undefined {
    const { minSpeechMs, padMs } = this.rules;
    const start = this.start ?? end;
    this.start = undefined;
    this.silentSince = undefined;
    if (end - start < minSpeechMs) return undefined;
    const padded = { start: Math.max(this.lastEnd, start - padMs), end: Math.min(now, end + padMs) };
    this.lastEnd = padded.end;
    return { start: padded.start / 1000, end: padded.end / 1000 };
  }
}
