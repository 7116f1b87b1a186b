/**
 * One kind of fault, tried many times against the real thing. A topic is a file beside this one that
 * exports `topic`; `npm run chaos` runs all of them for as long as it is let, the tests a few runs of each.
 */

/** One line of the table. */
export interface ChaosRow {
  readonly fault: string;
  readonly runs: number;
  /** Runs after which everything was as it must be. */
  readonly survived: number;
  /** Durable things (batches, rows, answers) that were gone afterwards. */
  readonly lost: number;
  /** Things that were there twice. */
  readonly doubled: number;
  /** What was wrong, a line each; empty when all survived. */
  readonly failures: readonly string[];
}

export interface ChaosBounds {
  /** At most so many runs of each fault; all there are when absent. */
  readonly runs?: number;
  /** One of so many parts of what there is, from 1; all parts together try everything once. */
  readonly part?: { readonly number: number; readonly of: number };
  /** Picks which runs, and every random choice in them. */
  readonly seed: number;
  /** Aborted when time is up: a topic ends after the run under way and gives what it has. */
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

export interface ChaosTopic {
  /** As given to `npm run chaos -- <name>`. */
  readonly name: string;
  readonly about: string;
  readonly run: (bounds: ChaosBounds) => Promise<readonly ChaosRow[]>;
}

/** What one run came to; `failure` says what was wrong. */
export interface ChaosOutcome {
  readonly failure?: string;
  /** The fault never came, so that nothing was tried; such a run is not counted. */
  readonly missed?: boolean;
  readonly lost?: number;
  readonly doubled?: number;
}

export function describeOutcome({ failure, missed = false }: ChaosOutcome): string {
  return failure ?? (missed ? 'not reached' : 'survived');
}

/** Counts outcomes into a row. */
export class ChaosTally {
  private runs = 0;
  private lost = 0;
  private doubled = 0;
  private readonly failures: string[] = [];

  constructor(private readonly fault: string) {}

  count({ failure, missed = false, lost = 0, doubled = 0 }: ChaosOutcome): void {
    if (!missed || failure !== undefined) this.runs += 1;
    this.lost += lost;
    this.doubled += doubled;
    if (failure !== undefined) this.failures.push(failure);
  }

  row(): ChaosRow {
    const { fault, runs, lost, doubled, failures } = this;
    return { fault, runs, survived: runs - failures.length, lost, doubled, failures };
  }
}

/** Numbers in [0, 1), the same for the same seed. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The same items in an order that the seed picks, so that a run cut short has seen some of everything. */
export function shuffled<T>(items: readonly T[], seed: number): T[] {
  const random = seededRandom(seed);
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
