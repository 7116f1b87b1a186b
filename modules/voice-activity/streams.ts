/** The streams that are open, each with its listener; chunks of one stream are judged in the order they came in. */
import type { Listener } from './listener.js';
import type { Segment } from './segments.js';
import { type Sound, wrong } from './wav.js';

export interface Heard {
  readonly stream: string;
  /** Since the stream began. */
  readonly seconds: number;
  readonly speaking: boolean;
  /** Those that ended in this chunk. */
  readonly segments: readonly Segment[];
}

interface Open {
  readonly listener: Listener;
  /** Resolves when all chunks before are done, well or not. */
  turn: Promise<unknown>;
}

export class Streams {
  private readonly open = new Map<string, Open>();

  constructor(
    private readonly most: number,
    private readonly listen: (sampleRate: number) => Listener,
    /** One more was opened than may be: this one, not heard of for the longest time, is forgotten. */
    private readonly onForgotten: (stream: string) => void,
  ) {}

  /** @throws Error with status 400 for another sample rate than the stream began with */
  push(stream: string, { samples, sampleRate }: Sound, isLast: boolean): Promise<Heard> {
    const one = this.open.get(stream) ?? { listener: this.listen(sampleRate), turn: Promise.resolve() };
    const { listener } = one;
    if (listener.inputRate !== sampleRate) {
      throw wrong(`stream ${stream} has ${listener.inputRate} samples a second, and now ${sampleRate}: end it first`);
    }
    this.remember(stream, one);
    if (isLast) this.open.delete(stream);
    const turn = one.turn.then(async (): Promise<Heard> => {
      const segments = await listener.push(samples);
      if (isLast) segments.push(...(await listener.finish()));
      return { stream, seconds: listener.seconds, speaking: !isLast && listener.speaking, segments };
    });
    one.turn = turn.catch(() => {
      // What it remembers is not that of its sound any more: the next chunk begins anew.
      if (this.open.get(stream) === one) this.open.delete(stream);
    });
    return turn;
  }

  /** Last in the map: heard of last. */
  private remember(stream: string, one: Open): void {
    this.open.delete(stream);
    this.open.set(stream, one);
    const [oldest] = this.open.keys();
    if (this.open.size <= this.most || oldest === undefined) return;
    this.open.delete(oldest);
    this.onForgotten(oldest);
  }
}
