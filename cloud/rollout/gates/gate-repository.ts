/** Verdicts in SQL: of each wave those that it ended with, or that stopped it. */
import type { Database } from '#cloud/fleet/device-repository.js';
import type { RolloutAddress } from '../rollout-repository.js';
import type { GateVerdict } from './gate-model.js';

export interface StoredVerdict extends GateVerdict {
  /** From 0. */
  readonly wave: number;
  readonly at: string;
}

export class GateRepository {
  constructor(private readonly db: Database) {}

  /** What was said of the wave before is replaced. */
  async store(
    { workspace, number }: RolloutAddress,
    wave: number,
    at: string,
    verdicts: readonly GateVerdict[],
  ): Promise<void> {
    if (verdicts.length === 0) return;
    await this.db
      .deleteFrom('rolloutGates')
      .where((where) => where.and({ workspace, rollout: number, wave }))
      // What shadows said before the wave, and what its gates said, are kept beside each other.
      .where('gate', 'in', [...new Set(verdicts.map(({ gate }) => gate))])
      .execute();
    const rows = verdicts.map((verdict) => {
      const { gate, module } = verdict;
      return { workspace, rollout: number, wave, gate, module, at, verdictJson: JSON.stringify(verdict) };
    });
    await this.db.insertInto('rolloutGates').values(rows).execute();
  }

  /** By wave, gate and module. */
  async list({ workspace, number }: RolloutAddress): Promise<StoredVerdict[]> {
    const rows = await this.db
      .selectFrom('rolloutGates')
      .select(['wave', 'at', 'verdictJson'])
      .where((where) => where.and({ workspace, rollout: number }))
      .orderBy('wave')
      .orderBy('gate')
      .orderBy('module')
      .execute();
    return rows.map(({ wave, at, verdictJson }) => ({ ...(JSON.parse(verdictJson) as GateVerdict), wave, at }));
  }
}
