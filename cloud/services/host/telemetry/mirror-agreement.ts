/**
 * Whether answers to mirrored requests agree with the live ones, by the comparison that shadows on devices use.
 * Invariants: no live answer waits for more than one comparison, whose size is bounded; comparing takes a tenth of the
 * time at most; what waits is bounded in number and bytes, and more is dropped and counted.
 */
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '#shared/kernel/clock.js';
import { type Comparison, comparisonSchema } from '#shared/protocol/comparison.js';
import { ShadowCounts, type ShadowStats } from '#shared/scoring/traffic/shadow-counts.js';
import type { AnsweredBy, MirroredPair, MirrorDrop } from '../../front/mirror.js';
import { compareSeen, outcomeOf } from './compare-seen.js';

export interface MirrorAgreementPorts {
  readonly clock: Clock;
  /** Of the endpoint's mirror; undefined: the usual. */
  readonly rule: (endpointId: string) => Comparison | undefined;
}

/** What came of copies of one image's requests to another image. */
export interface MirrorCounts {
  readonly endpointId: string;
  readonly live: AnsweredBy;
  readonly mirrored: AnsweredBy;
  readonly counts: ShadowStats;
}

interface Counting extends Omit<MirrorCounts, 'counts'> {
  readonly counts: ShadowCounts;
}

const maxWaiting = 64;
const maxWaitingBytes = 32 * 1024 * 1024;
/** Times as long as a comparison took, nothing is compared after it. */
const restFactor = 9;
const leastRestMs = 1;

const usualRule = comparisonSchema.parse({ kind: 'tolerance' });

export class MirrorAgreement {
  private counting = new Map<string, Counting>();
  private readonly waiting: MirroredPair[] = [];
  private waitingBytes = 0;
  private working = false;
  private readonly stopped = new AbortController();

  constructor(private readonly ports: MirrorAgreementPorts) {}

  take(pair: MirroredPair): void {
    switch (outcomeOf(pair.live.status, pair.mirrored.status)) {
      case 'compare':
        this.enqueue(pair);
        return;
      case 'live-failed':
        this.of(pair).liveFailed();
        return;
      case 'mirrored-failed':
        this.of(pair).shadowFailed();
        return;
      case 'no-room':
        this.of(pair).drop();
        return;
      case 'nothing':
        return;
    }
  }

  dropped(drop: MirrorDrop): void {
    this.of(drop).drop();
  }

  /** Since they were last taken. */
  takeCounts(): MirrorCounts[] {
    const taken = [...this.counting.values()];
    this.counting = new Map();
    return taken.map(({ counts, ...of }) => ({ ...of, counts: counts.snapshot() }));
  }

  /** What waits is dropped. */
  stop(): void {
    this.stopped.abort();
    for (const pair of this.waiting.splice(0)) this.of(pair).drop();
  }

  private enqueue(pair: MirroredPair): void {
    const bytes = bytesOf(pair);
    if (this.waiting.length >= maxWaiting || this.waitingBytes + bytes > maxWaitingBytes) {
      this.of(pair).drop();
      return;
    }
    this.waiting.push(pair);
    this.waitingBytes += bytes;
    if (!this.working) void this.work();
  }

  private async work(): Promise<void> {
    const { clock } = this.ports;
    this.working = true;
    try {
      for (;;) {
        // What came of requests meanwhile goes first.
        await setImmediate();
        const pair = this.waiting.shift();
        if (!pair) return;
        this.waitingBytes -= bytesOf(pair);
        const startedMs = clock.monotonic();
        this.compare(pair);
        await clock.sleep(Math.max(leastRestMs, restFactor * (clock.monotonic() - startedMs)), this.stopped.signal);
      }
    } finally {
      this.working = false;
    }
  }

  private compare(pair: MirroredPair): void {
    const outcome = compareSeen(pair.live, pair.mirrored, this.ports.rule(pair.endpointId) ?? usualRule);
    this.of(pair).answered(outcome, pair.live.latencyMs, pair.mirrored.latencyMs);
  }

  private of({ endpointId, live, mirrored }: MirrorDrop): ShadowCounts {
    const key = [endpointId, live.deployment, live.image?.digest, mirrored.deployment, mirrored.image?.digest].join(
      ' ',
    );
    const known = this.counting.get(key);
    if (known) return known.counts;
    const counts = new ShadowCounts();
    this.counting.set(key, { endpointId, live: byOf(live), mirrored: byOf(mirrored), counts });
    return counts;
  }
}

/** Without the answer. */
function byOf({ deployment, image }: AnsweredBy): AnsweredBy {
  return { deployment, image };
}

function bytesOf({ live, mirrored }: MirroredPair): number {
  return (live.body?.length ?? 0) + (mirrored.body?.length ?? 0);
}
