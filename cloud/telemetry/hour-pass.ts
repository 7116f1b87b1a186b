/** One hour from its minutes, some devices at a time. What it writes it writes whole: begun anew, it comes to the same. */
import { sql } from 'kysely';
import type { TelemetryStore } from '#cloud/store/telemetry-database.js';
import { hourOfMachine, hourOfModules, writeMachineSums, writeModuleSums } from './sum-rows.js';
import { startOf, type Summed } from './summed.js';

interface Device {
  readonly workspace: string;
  readonly device: string;
}

/** Their minutes are read and written in one commit: batches that come in wait for it. */
const devicesAtOnce = 20;
const hourMs = 3_600_000;

const rollups = [
  { table: 'moduleRollups', index: 'moduleRollupsByDevice' },
  { table: 'systemRollups', index: 'systemRollupsByDevice' },
] as const;

export class HourPass {
  private after: Device = { workspace: '', device: '' };

  private constructor(
    private readonly db: TelemetryStore,
    private readonly startAt: number,
  ) {}

  /** The first hour that is over and not summed up; undefined where there is none with anything in it. */
  static async next(db: TelemetryStore, { minutesTo, hoursTo }: Summed): Promise<HourPass | undefined> {
    const end = startOf(minutesTo, 3600);
    if (end <= hoursTo) return undefined;
    const found: number[] = [];
    for (const { table } of rollups) {
      const { rows } = await sql<{ first: number | null }>`select min(startAt) as first from ${sql.table(table)}
        where resolution = 60 and startAt >= ${hoursTo} and startAt < ${end}`.execute(db);
      if (typeof rows[0]?.first === 'number') found.push(rows[0].first);
    }
    return found.length === 0 ? undefined : new HourPass(db, startOf(Math.min(...found), 3600));
  }

  /** @returns up to when hours are summed up, once this one is whole */
  async step(): Promise<number | undefined> {
    const devices: Device[] = [];
    for (let last: Device | undefined = this.after; devices.length < devicesAtOnce; devices.push(last)) {
      last = await this.deviceAfter(last);
      if (last === undefined) break;
    }
    await this.db.transaction().execute(async (transaction) => {
      for (const device of devices) {
        await writeModuleSums(transaction, 3600, await hourOfModules(transaction, device, this.startAt));
        await writeMachineSums(transaction, 3600, await hourOfMachine(transaction, device, this.startAt));
      }
    });
    this.after = devices.at(-1) ?? this.after;
    return devices.length < devicesAtOnce ? this.startAt + hourMs : undefined;
  }

  /** By a look into an index: a list of all would read all that they ever told. */
  private async deviceAfter({ workspace, device }: Device): Promise<Device | undefined> {
    const found: Device[] = [];
    for (const { table, index } of rollups) {
      const { rows } = await sql<Device>`select workspace, device from ${sql.table(table)} indexed by ${sql.ref(index)}
        where (workspace, device) > (${workspace}, ${device}) order by workspace, device limit 1`.execute(this.db);
      found.push(...rows);
    }
    return found.reduce<Device | undefined>((first, one) => (first && isBefore(first, one) ? first : one), undefined);
  }
}

/** As SQLite orders texts. */
function isBefore(one: Device, other: Device): boolean {
  const order = Buffer.compare(Buffer.from(one.workspace), Buffer.from(other.workspace));
  return (order || Buffer.compare(Buffer.from(one.device), Buffer.from(other.device))) < 0;
}
