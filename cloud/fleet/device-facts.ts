/** The rows of `deviceFacts`: written with each change of a device, and made anew where their form is an older one. */
import { tagsSchema, type Tags } from '#shared/protocol/primitives.js';
import { emptyReportedState, type ReportedState, reportedStateSchema } from '#shared/protocol/reported.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { Database, DeviceRow } from './device-repository.js';
import { type Facts, factsOf, factsVersion, reportedFacts, tagFacts } from './query/facts.js';

/** A side that is absent has not changed. */
export interface FactSources {
  readonly tags?: Tags | undefined;
  readonly reported?: ReportedState | undefined;
}

const stepSize = 200;

export class DeviceFacts {
  constructor(private readonly db: Database) {}

  /** Writes what differs from the rows that are there, and nothing else. */
  async write(address: DeviceAddress, { tags, reported }: FactSources): Promise<void> {
    const rows = await this.db
      .selectFrom('deviceFacts')
      .select(['name', 'text', 'number'])
      .where('workspace', '=', address.workspace)
      .where('device', '=', address.device)
      .execute();
    const ours = (name: string): boolean => (name.startsWith('tags.') ? tags : reported) !== undefined;
    const stored = rows.filter(({ name }) => ours(name)).map(({ name, ...fact }) => [name, fact] as const);
    const wanted = [
      ...(tags === undefined ? [] : tagFacts(tags)),
      ...(reported === undefined ? [] : reportedFacts(reported)),
    ];
    await this.replace(address, new Map(stored), new Map(wanted));
  }

  /** From one report to the next. The rows are those of the one before and need not be read. */
  async follow(address: DeviceAddress, before: ReportedState, after: ReportedState): Promise<void> {
    await this.replace(address, reportedFacts(before), reportedFacts(after));
  }

  private async replace({ workspace, device }: DeviceAddress, from: Facts, to: Facts): Promise<void> {
    const gone = [...from.keys()].filter((name) => !to.has(name));
    const changed = [...to].filter(([name, { text, number }]) => {
      const known = from.get(name);
      return known?.text !== text || known.number !== number;
    });
    if (gone.length > 0) {
      await this.db
        .deleteFrom('deviceFacts')
        .where('workspace', '=', workspace)
        .where('device', '=', device)
        .where('name', 'in', gone)
        .execute();
    }
    if (changed.length === 0) return;
    await this.db
      .insertInto('deviceFacts')
      .values(changed.map(([name, fact]) => ({ workspace, device, name, ...fact })))
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

/** All that can be asked of a device that was read. */
export function factsOfRow(device: DeviceRow): Facts {
  return factsOf({
    name: device.name,
    online: device.online === 1,
    converged: device.convergedGeneration === device.desiredGeneration,
    release: device.desiredRelease,
    tags: tagsSchema.parse(JSON.parse(device.tagsJson)),
    reported: reportedStateSchema.parse(JSON.parse(device.reportedJson)),
  });
}
