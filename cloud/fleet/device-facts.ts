/** The rows of `deviceFacts`: written with each change of a device, and made anew where their form is an older one. */
import { tagsSchema, type Tags } from '#shared/protocol/primitives.js';
import { emptyReportedState, type ReportedState, reportedStateSchema } from '#shared/protocol/reported.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { Database } from './device-repository.js';
import { type Fact, factsVersion, reportedFacts, tagFacts } from './query/facts.js';

/** A side that is absent has not changed. */
export interface FactSources {
  readonly tags?: Tags | undefined;
  readonly reported?: ReportedState | undefined;
}

const stepSize = 200;

export class DeviceFacts {
  constructor(private readonly db: Database) {}

  /** Writes what differs, and nothing else. */
  async write({ workspace, device }: DeviceAddress, { tags, reported }: FactSources): Promise<void> {
    const wanted = new Map<string, Fact>([
      ...(tags === undefined ? [] : tagFacts(tags)),
      ...(reported === undefined ? [] : reportedFacts(reported)),
    ]);
    const rows = await this.db
      .selectFrom('deviceFacts')
      .select(['name', 'text', 'number'])
      .where('workspace', '=', workspace)
      .where('device', '=', device)
      .execute();
    const gone: string[] = [];
    for (const { name, text, number } of rows) {
      const fact = wanted.get(name);
      if (fact !== undefined && fact.text === text && fact.number === number) wanted.delete(name);
      const ours = name.startsWith('tags.') ? tags !== undefined : reported !== undefined;
      if (fact === undefined && ours) gone.push(name);
    }
    if (gone.length > 0) {
      await this.db
        .deleteFrom('deviceFacts')
        .where('workspace', '=', workspace)
        .where('device', '=', device)
        .where('name', 'in', gone)
        .execute();
    }
    if (wanted.size === 0) return;
    await this.db
      .insertInto('deviceFacts')
      .values([...wanted].map(([name, fact]) => ({ workspace, device, name, ...fact })))
      .onConflict((conflict) =>
        conflict.columns(['workspace', 'device', 'name']).doUpdateSet((row) => ({
          text: row.ref('excluded.text'),
          number: row.ref('excluded.number'),
        })),
      )
      .execute();
  }

  /** Once at a start: a kill in the middle leaves the rest to the next one. @returns how many devices */
  async bringUpToDate(): Promise<number> {
    for (let done = 0; ; ) {
      const behind = await this.db
        .selectFrom('devices')
        .select(['workspace', 'name', 'tagsJson', 'reportedJson'])
        .where('factsVersion', '<', factsVersion)
        .limit(stepSize)
        .execute();
      if (behind.length === 0) return done;
      await this.db.transaction().execute(async (transaction) => {
        for (const { workspace, name, tagsJson, reportedJson } of behind) {
          // What an older version stored and this one cannot read is reported anew.
          const read = reportedStateSchema.safeParse(JSON.parse(reportedJson));
          const reported = read.success ? read.data : emptyReportedState;
          const tags = tagsSchema.parse(JSON.parse(tagsJson));
          await new DeviceFacts(transaction).write({ workspace, device: name }, { tags, reported });
          await transaction
            .updateTable('devices')
            .set({ factsVersion, convergedGeneration: convergedGenerationOf(reported) })
            .where('workspace', '=', workspace)
            .where('name', '=', name)
            .execute();
        }
      });
      done += behind.length;
    }
  }
}

/** @returns -1 where it does not say that it runs what it was asked to */
export function convergedGenerationOf({ converged, generation }: ReportedState): number {
  return converged ? generation : -1;
}
