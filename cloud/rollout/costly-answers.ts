/** Answers for screens that take long are given again for a while: of the time, a twentieth at most goes into them. */
import type { Clock } from '#shared/kernel/clock.js';

/** What takes less is made anew each time. */
const longMs = 50;
const timesAsLong = 20;
const longestMs = 10_000;
/** One that nobody has asked for since is made while who asks waits. */
const staleMs = 30_000;

interface Known<Answer> {
  readonly answer: Answer;
  readonly until: number;
  readonly staleFrom: number;
}

export class CostlyAnswers<Answer> {
  private readonly known = new Map<string, Known<Answer>>();
  private readonly underWay = new Map<string, Promise<Answer>>();

  constructor(private readonly clock: Pick<Clock, 'monotonic'>) {}

  /** @param key says all that must not be answered as before */
  async of(key: string, make: () => Promise<Answer>): Promise<Answer> {
    const now = this.clock.monotonic();
    for (const [old, { staleFrom }] of this.known) if (staleFrom <= now) this.known.delete(old);
    const known = this.known.get(key);
    if (known !== undefined && now < known.until) return known.answer;
    const made = this.underWay.get(key) ?? this.make(key, make);
    if (known === undefined) return made;
    // Who asks next is told of a failure, once this answer is stale.
    made.catch(() => undefined);
    return known.answer;
  }

  private make(key: string, make: () => Promise<Answer>): Promise<Answer> {
    const begun = this.clock.monotonic();
    const made = make()
      .then((answer) => {
        const now = this.clock.monotonic();
        const took = now - begun;
        const until = now + Math.min(longestMs, took * timesAsLong);
        if (took > longMs) this.known.set(key, { answer, until, staleFrom: until + staleMs });
        else this.known.delete(key);
        return answer;
      })
      .finally(() => this.underWay.delete(key));
    this.underWay.set(key, made);
    return made;
  }
}
