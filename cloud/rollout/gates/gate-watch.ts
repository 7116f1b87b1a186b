/** Says what gates say now. Reading costs, so that what was read is good for a moment: the longer it took, the longer. */
import type { Clock } from '#shared/kernel/clock.js';
import type { Logger } from '#shared/platform/logger.js';
import type { StoredRollout } from '../rollout-repository.js';
import type { GateVerdict } from './gate-model.js';
import type { GateReader } from './gate-reader.js';
import { hasGates } from './gate-step.js';
import { judgeGates } from './judge-gates.js';

/** Devices tell every ten seconds. */
const leastMs = 2_000;
/** Of the time, a twentieth at most goes into reading. */
const timesAsLong = 20;

/** Who only shows verdicts need not wait for a look that took longer: what was said before is shown meanwhile. */
const longMs = 50;

type Said = readonly GateVerdict[] | undefined;

interface Look {
  readonly wave: number;
  readonly said: Promise<Said>;
  until: number;
  /** What it took, once it is over, and what came of it. */
  ended?: Ended;
  /** Of the look before, where that took long. */
  readonly before: Ended | undefined;
}

interface Ended {
  readonly ms: number;
  readonly said: Said;
}

export class GateWatch {
  private readonly looks = new Map<string, Look>();

  constructor(
    private readonly reader: Pick<GateReader, 'read'>,
    private readonly clock: Clock,
    private readonly logger: Pick<Logger, 'error'>,
  ) {}

  /** Undefined where there are none, the rollout does not run, or nothing could be read: then it goes on to nothing. */
  async verdicts(stored: StoredRollout): Promise<Said> {
    const { rollout, policy } = stored;
    if (rollout.state !== 'running' || !hasGates(policy)) return undefined;
    const known = this.looks.get(keyOf(stored));
    if (known?.wave === rollout.wave && this.clock.monotonic() < known.until) return known.said;
    const startedAt = this.clock.monotonic();
    const before = known?.wave === rollout.wave && (known.ended?.ms ?? 0) > longMs ? known.ended : undefined;
    const look: Look = { wave: rollout.wave, said: this.look(stored), until: Number.POSITIVE_INFINITY, before };
    this.looks.set(keyOf(stored), look);
    const said = await look.said;
    const now = this.clock.monotonic();
    look.until = now + Math.max(leastMs, (now - startedAt) * timesAsLong);
    look.ended = { ms: now - startedAt, said };
    return said;
  }

  /** For a screen: what was said before, while a look that takes long is under way. Who decides asks {@link verdicts}. */
  async shown(stored: StoredRollout): Promise<Said> {
    const said = this.verdicts(stored);
    const look = this.looks.get(keyOf(stored));
    const isUnderWay = stored.rollout.state === 'running' && look !== undefined && look.ended === undefined;
    return isUnderWay && look.before !== undefined ? look.before.said : said;
  }

  /** Milliseconds until it is worth looking again; infinite where nothing is watched. */
  remainingMs(stored: StoredRollout): number {
    if (stored.rollout.state !== 'running' || !hasGates(stored.policy)) return Number.POSITIVE_INFINITY;
    return Math.max(0, (this.looks.get(keyOf(stored))?.until ?? 0) - this.clock.monotonic());
  }

  forget(stored: Pick<StoredRollout, 'workspace' | 'number'>): void {
    this.looks.delete(keyOf(stored));
  }

  private async look(stored: StoredRollout): Promise<Said> {
    try {
      return judgeGates(stored.policy.gates ?? {}, await this.reader.read(stored));
    } catch (error) {
      const { workspace, number } = stored;
      this.logger.error({ err: error, workspace, number }, 'gates of a rollout could not be read');
      return undefined;
    }
  }
}

function keyOf({ workspace, number }: Pick<StoredRollout, 'workspace' | 'number'>): string {
  return `${workspace}/${String(number)}`;
}
