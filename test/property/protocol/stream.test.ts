import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeSequence } from '#shared/protocol/stream.js';

interface Batch {
  readonly sequence: number;
  readonly droppedFrom?: number;
}

/** A device's spool by the rules of the protocol: sequences rise, nothing is cut anew, what is dropped is named. */
class Spool {
  readonly batches: Batch[] = [];
  private last = 0;
  /** First sequence dropped since the last batch that could say so. */
  private unsaid: number | undefined;

  add(): void {
    this.last += 1;
    this.batches.push(
      this.unsaid === undefined ? { sequence: this.last } : { sequence: this.last, droppedFrom: this.unsaid },
    );
    this.unsaid = undefined;
  }

  drop(index: number): number | undefined {
    const [gone] = this.batches.splice(index, 1);
    if (gone === undefined) return undefined;
    const from = gone.droppedFrom ?? gone.sequence;
    const next = this.batches[index];
    if (next !== undefined) this.batches[index] = { ...next, droppedFrom: Math.min(from, next.droppedFrom ?? from) };
    else this.unsaid = Math.min(from, this.unsaid ?? from);
    return gone.sequence;
  }

  acknowledge(upTo: number): void {
    while (this.batches[0] !== undefined && this.batches[0].sequence <= upTo) this.batches.shift();
  }
}

class Store {
  upTo = 0;
  readonly stored: number[] = [];

  take(batch: Batch): void {
    if (judgeSequence(batch, this.upTo) !== 'store') return;
    this.stored.push(batch.sequence);
    this.upTo = batch.sequence;
  }
}

type Step = { kind: 'add' } | { kind: 'send' | 'deliver' | 'deliverTwice' | 'lose' | 'drop' | 'ack'; pick: number };
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Step>({ kind: 'add' }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'send' as const,
        'send' as const,
        'deliver' as const,
        'deliver' as const,
        'deliverTwice' as const,
        'lose' as const,
        'drop' as const,
        'ack' as const,
      ),
      pick: fc.nat({ max: 1000 }),
    }),
  },
);

describe('batches of one boot', () => {
  it('are stored once and in order through any duplicates, reorderings, losses, drops and resends', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const spool = new Spool();
        const store = new Store();
        const wire: Batch[] = [];
        const acks: number[] = [0];
        const dropped = new Set<number>();
        let added = 0;
        for (const each of steps) {
          if (each.kind === 'add') {
            spool.add();
            added += 1;
            continue;
          }
          const on = (length: number): number => (length === 0 ? 0 : each.pick % length);
          const flying = wire[on(wire.length)];
          switch (each.kind) {
            case 'send': {
              const batch = spool.batches[on(spool.batches.length)];
              if (batch !== undefined) wire.push(batch);
              break;
            }
            case 'deliver':
            case 'deliverTwice':
              if (flying !== undefined) store.take(flying);
              if (each.kind === 'deliver') wire.splice(on(wire.length), 1);
              acks.push(store.upTo);
              break;
            case 'lose':
              wire.splice(on(wire.length), 1);
              break;
            case 'drop': {
              const gone = spool.drop(on(spool.batches.length));
              if (gone !== undefined) dropped.add(gone);
              break;
            }
            case 'ack':
              // An acknowledgement may be an old one.
              spool.acknowledge(acks[on(acks.length)] ?? 0);
              break;
          }
        }
        // The line is good again: what is left is sent in order, twice, and acknowledged.
        for (const batch of [...spool.batches, ...spool.batches]) store.take(batch);
        spool.acknowledge(store.upTo);

        expect(store.stored).toEqual([...new Set(store.stored)].sort((a, b) => a - b));
        const missing = Array.from({ length: added }, (_, index) => index + 1).filter(
          (each) => !store.stored.includes(each),
        );
        for (const sequence of missing) expect(dropped).toContain(sequence);
        expect(spool.batches).toEqual([]);
      }),
      { numRuns: 3000 },
    );
  });

  it('are each a duplicate, the next, or a gap; only the next one and what closes a gap is stored', () => {
    const sequence = fc.integer({ min: 1, max: 30 });
    fc.assert(
      fc.property(sequence, fc.option(sequence, { nil: undefined }), fc.nat({ max: 30 }), (next, droppedFrom, upTo) => {
        const covered = Math.min(droppedFrom ?? next, next);
        const expected = next <= upTo ? 'duplicate' : covered <= upTo + 1 ? 'store' : 'gap';
        expect(judgeSequence({ sequence: next, droppedFrom }, upTo)).toBe(expected);
      }),
    );
  });
});

it('a nonsensical droppedFrom does not hold up the next batch', () => {
  expect(judgeSequence({ sequence: 4, droppedFrom: 9 }, 3)).toBe('store');
});
