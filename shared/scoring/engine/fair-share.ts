/**
 * Which of several models runs next, so that a busy one does not starve the others: the one that has had
 * the least time so far (start-time fair queueing). Who was idle starts level with the others, and has
 * saved nothing up. Pure.
 */
export interface Share {
  /** Virtual time in milliseconds; only differences mean something. */
  had: number;
}

export class FairShare {
  /** Of the last model picked: what is active is never behind it by more than one run. */
  private level = 0;

  join(): Share {
    return { had: this.level };
  }

  /** A model has work again after it had none. */
  wake(share: Share): void {
    share.had = Math.max(share.had, this.level);
  }

  /** The least served of the candidates; undefined when there is none. */
  pick<T extends { readonly share: Share }>(candidates: Iterable<T>): T | undefined {
    let best: T | undefined;
    for (const candidate of candidates) {
      if (best === undefined || candidate.share.had < best.share.had) best = candidate;
    }
    if (best) this.level = Math.max(this.level, best.share.had);
    return best;
  }

  /** Counted at once as expected, corrected when it is known: `charge(share, actual - expected)`. */
  charge(share: Share, ms: number): void {
    share.had += ms;
  }
}
