/** Sums of minutes and hours in SQL: written whole, or added to what is there. */
import type { Kysely } from 'kysely';
import { type InsertInto, insertRows } from '#cloud/store/insert-rows.js';
import type { TelemetryDatabase } from '#cloud/store/telemetry-tables.js';
import { countsOf, ModuleSum } from './module-sum.js';
import type { MachineSum, SumsOf } from './open-sums.js';
import type { Resolution } from './summed.js';
import { joinGauges, type SystemGauges } from './system-gauges.js';

type Database = Kysely<TelemetryDatabase>;

const intoModules: InsertInto = {
  verb: 'replace',
  table: 'moduleRollups',
  columns: [
    ...['workspace', 'resolution', 'startAt', 'device', 'module', 'version', 'digest', 'provider'],
    ...['requests', 'errorsJson', 'latencyJson', 'detailJson'],
  ],
};
const intoMachines: InsertInto = {
  verb: 'replace',
  table: 'systemRollups',
  columns: ['workspace', 'resolution', 'startAt', 'device', 'readings', 'gaugesJson', 'lastJson'],
};

/** What is there of these spans is replaced. */
export async function writeModuleSums(
  db: Database,
  resolution: Resolution,
  sums: readonly SumsOf<ModuleSum>[],
): Promise<void> {
  const rows = sums.map(({ startAt, sum }) => {
    const { workspace, device, module, version, digest, provider } = sum.names;
    const { requests, errorsJson, latencyJson, detailJson } = sum.stored();
    const names = [workspace, resolution, startAt, device, module, version, digest, provider];
    return [...names, requests, errorsJson, latencyJson, detailJson];
  });
  await insertRows(db, intoModules, rows);
}

export async function writeMachineSums(
  db: Database,
  resolution: Resolution,
  sums: readonly SumsOf<MachineSum>[],
): Promise<void> {
  const rows = sums.map(({ startAt, sum: { workspace, device, readings, gauges, lastJson } }) => [
    ...[workspace, resolution, startAt, device, readings],
    ...[JSON.stringify(gauges), lastJson],
  ]);
  await insertRows(db, intoMachines, rows);
}

/** What came after its span was written: rare, hence one by one. */
export async function addModuleSums(
  db: Database,
  resolution: Resolution,
  sums: readonly SumsOf<ModuleSum>[],
): Promise<void> {
  for (const { startAt, sum } of sums) {
    const stored = await db
      .selectFrom('moduleRollups')
      .select(['requests', 'errorsJson', 'latencyJson', 'detailJson'])
      .where((where) => where.and({ ...sum.names, resolution, startAt }))
      .executeTakeFirst();
    const whole = new ModuleSum(sum.names);
    if (stored) whole.add(countsOf(stored));
    whole.add(sum.counts());
    await writeModuleSums(db, resolution, [{ startAt, sum: whole }]);
  }
}

export async function addMachineSums(
  db: Database,
  resolution: Resolution,
  sums: readonly SumsOf<MachineSum>[],
): Promise<void> {
  for (const { startAt, sum } of sums) {
    const { workspace, device } = sum;
    const stored = await db
      .selectFrom('systemRollups')
      .select(['readings', 'gaugesJson', 'lastJson'])
      .where((where) => where.and({ workspace, device, resolution, startAt }))
      .executeTakeFirst();
    const earlier = stored && machineOf({ workspace, device, ...stored });
    await writeMachineSums(db, resolution, [{ startAt, sum: earlier ? joinMachines(earlier, sum) : sum }]);
  }
}

function machineOf(row: {
  readonly workspace: string;
  readonly device: string;
  readonly readings: number;
  readonly gaugesJson: string;
  readonly lastJson: string;
}): MachineSum {
  const { workspace, device, readings, gaugesJson, lastJson } = row;
  return { workspace, device, readings, gauges: JSON.parse(gaugesJson) as SystemGauges, lastJson };
}

function joinMachines(earlier: MachineSum, later: MachineSum): MachineSum {
  const { workspace, device, lastJson } = later;
  const readings = earlier.readings + later.readings;
  return { workspace, device, readings, gauges: joinGauges(earlier.gauges, later.gauges), lastJson };
}

/** Of one device, from its minutes. */
export async function hourOfModules(
  db: Database,
  { workspace, device }: Pick<MachineSum, 'workspace' | 'device'>,
  startAt: number,
): Promise<SumsOf<ModuleSum>[]> {
  const rows = await db
    .selectFrom('moduleRollups')
    .select(['module', 'version', 'digest', 'provider', 'requests', 'errorsJson', 'latencyJson', 'detailJson'])
    .where((where) => where.and({ workspace, device, resolution: 60 }))
    .where('startAt', '>=', startAt)
    .where('startAt', '<', startAt + 3_600_000)
    .orderBy('startAt')
    .execute();
  const sums = new Map<string, ModuleSum>();
  for (const row of rows) {
    const { module, version, digest, provider } = row;
    const key = `${module}/${String(version)}/${digest}/${provider}`;
    const sum = sums.get(key) ?? new ModuleSum({ workspace, device, module, version, digest, provider });
    sums.set(key, sum);
    sum.add(countsOf(row));
  }
  return [...sums.values()].map((sum) => ({ startAt, sum }));
}

export async function hourOfMachine(
  db: Database,
  { workspace, device }: Pick<MachineSum, 'workspace' | 'device'>,
  startAt: number,
): Promise<SumsOf<MachineSum>[]> {
  const rows = await db
    .selectFrom('systemRollups')
    .select(['workspace', 'device', 'readings', 'gaugesJson', 'lastJson'])
    .where((where) => where.and({ workspace, device, resolution: 60 }))
    .where('startAt', '>=', startAt)
    .where('startAt', '<', startAt + 3_600_000)
    .orderBy('startAt')
    .execute();
  const [first, ...rest] = rows.map(machineOf);
  return first ? [{ startAt, sum: rest.reduce(joinMachines, first) }] : [];
}
