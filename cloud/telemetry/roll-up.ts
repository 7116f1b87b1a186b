/**
 * Sums up what came into minutes and hours. Minutes that are not over are added up in memory and written once, some sums
 * at a time; hours follow from minutes. How far that has come is one instant, written with the last of them: a start
 * reads what was received from there on, so that a kill at any point neither loses nor doubles anything.
 */
import { deploymentOf } from '#cloud/services/service-source.js';
import type { TelemetryStore } from '#cloud/store/telemetry-database.js';
import { moduleRowsFrom, systemRowsFrom, tables } from './counted-rows.js';
import { HourPass } from './hour-pass.js';
import type { ModuleSum } from './module-sum.js';
import { type CountedBatch, type MachineSum, OpenSums, type RowNumbers, type SumsOf } from './open-sums.js';
import { addMachineSums, addModuleSums, writeMachineSums, writeModuleSums } from './sum-rows.js';
import { ceilOf, readSummed, startOf, type Summed, writeCursor, writeSummed } from './summed.js';
import { ModuleTotals, type Told, Untold } from './untold.js';

export interface RolledUp extends Told {
  /** Whether nothing that is over is left. */
  readonly caughtUp: boolean;
}

/** Minutes that are being written. */
interface MinutePass {
  readonly to: number;
  readonly modules: SumsOf<ModuleSum>[];
  readonly machines: SumsOf<MachineSum>[];
}

/** Of each kind, in one commit: batches that come in wait for it. */
const sumsAtOnce = 500;

export class RollUp {
  private sums = new OpenSums();
  private minutePass: MinutePass | undefined;
  private hourPass: HourPass | undefined;
  private lastRows: RowNumbers = { modules: undefined, systems: undefined };
  /** Minutes up to here are written although they are not over. */
  private forcedTo = 0;
  private readonly untold: Untold;
  /** Of a transaction that is not over. */
  private uncommitted = new ModuleTotals();
  /** A transaction failed: what is known is not what is stored. */
  private isSpoiled = false;

  private constructor(
    private readonly db: TelemetryStore,
    private summed: Summed,
    byDevice: boolean,
  ) {
    this.untold = new Untold(byDevice);
  }

  /** @param byDevice tell each minute of each device too */
  static async open(db: TelemetryStore, byDevice: boolean): Promise<RollUp> {
    const rollUp = new RollUp(db, await readSummed(db), byDevice);
    await rollUp.reload();
    return rollUp;
  }

  /** From what is stored; what was known is forgotten. */
  async reload(): Promise<void> {
    this.sums = new OpenSums();
    this.minutePass = undefined;
    this.hourPass = undefined;
    this.isSpoiled = true;
    const { minutesTo } = this.summed;
    for await (const { batches, firstRow } of moduleRowsFrom(this.db, minutesTo)) {
      this.sums.add(batches, { modules: firstRow, systems: undefined });
    }
    for await (const { batches, firstRow } of systemRowsFrom(this.db, minutesTo)) {
      this.sums.add(batches, { modules: undefined, systems: firstRow });
    }
    this.isSpoiled = false;
  }

  /** What belongs to minutes that are written: added in the transaction that stores it. */
  async storeLate(transaction: TelemetryStore, batches: readonly CountedBatch[]): Promise<void> {
    const { minutesTo, hoursTo } = this.summed;
    const late = batches.filter(({ receivedAt }) => receivedAt < minutesTo);
    if (late.length === 0) return;
    const sums = summedUp(late);
    await addModuleSums(transaction, 60, sums.modules);
    await addMachineSums(transaction, 60, sums.machines);
    await addModuleSums(transaction, 3600, asHours(sums.modules, hoursTo));
    await addMachineSums(transaction, 3600, asHours(sums.machines, hoursTo));
  }

  /** In the transaction that stores them, which ends with {@link committed} or {@link spoil}. */
  add(batches: readonly CountedBatch[], first: RowNumbers, last: RowNumbers): void {
    const { minutesTo } = this.summed;
    const late = batches.filter(({ receivedAt }) => receivedAt < minutesTo);
    const open = late.length === 0 ? batches : batches.filter(({ receivedAt }) => receivedAt >= minutesTo);
    const writtenTo = this.minutePass?.to ?? 0;
    // A pass begins anew where what it has written is no longer all.
    if (open.some(({ receivedAt }) => receivedAt < writtenTo)) this.minutePass = undefined;
    if (late.length > 0) {
      this.hourPass = undefined;
      const { modules, machines } = summedUp(late);
      this.untold.addMinutes(modules, machines);
    }
    this.sums.add(open, first);
    // Of devices: the front of web services tells of its own.
    this.uncommitted.add(batches.filter(({ device }) => deploymentOf(device) === undefined));
    this.lastRows = { modules: last.modules ?? this.lastRows.modules, systems: last.systems ?? this.lastRows.systems };
  }

  committed(): void {
    this.untold.addModules(this.uncommitted);
    this.uncommitted = new ModuleTotals();
  }

  /** What was added is not stored: before anything is written, all is read anew. */
  spoil(): void {
    this.uncommitted = new ModuleTotals();
    this.isSpoiled = true;
  }

  /** Writes some of what is over. @returns whether nothing is left */
  async step(): Promise<boolean> {
    try {
      if (this.isSpoiled) await this.reload();
      const to = Math.max(this.sums.newest ?? 0, this.forcedTo);
      if (to > this.summed.minutesTo) {
        await this.writeMinutes(to);
        return false;
      }
      return await this.writeHours();
    } catch (error) {
      this.minutePass = undefined;
      this.hourPass = undefined;
      throw error;
    }
  }

  /** All that was received before, and all of its hours, as if they were over. */
  async settle(to: { readonly minutes: number; readonly hours: number }): Promise<void> {
    if (this.isSpoiled) await this.reload();
    const { minutesTo, hoursTo } = this.summed;
    const { newest } = this.sums;
    const end = newest === undefined ? minutesTo : newest + 60_000;
    const hours = to.hours > hoursTo ? ceilOf(Math.min(to.hours, end), 3600) : 0;
    this.forcedTo = Math.max(this.forcedTo, Math.min(ceilOf(to.minutes, 60), end), hours);
    while (!(await this.step()));
  }

  tell(): Told {
    return this.untold.take();
  }

  private async writeMinutes(to: number): Promise<void> {
    const pass =
      this.minutePass?.to === to
        ? this.minutePass
        : { to, modules: this.sums.modulesBefore(to), machines: this.sums.machinesBefore(to) };
    this.minutePass = pass;
    const [modules, machines] = [pass.modules.slice(-sumsAtOnce), pass.machines.slice(-sumsAtOnce)];
    const isLast = modules.length === pass.modules.length && machines.length === pass.machines.length;
    await this.db.transaction().execute(async (transaction) => {
      await writeModuleSums(transaction, 60, modules);
      await writeMachineSums(transaction, 60, machines);
      if (isLast) await this.advance(transaction, to);
    });
    pass.modules.length -= modules.length;
    pass.machines.length -= machines.length;
    if (!isLast) return;
    this.untold.addMinutes(this.sums.modulesBefore(to), this.sums.machinesBefore(to));
    this.sums.forgetBefore(to);
    this.summed = { ...this.summed, minutesTo: to };
    this.minutePass = undefined;
  }

  /** The instant, and which rows a start need not look at. */
  private async advance(transaction: TelemetryStore, minutesTo: number): Promise<void> {
    await writeSummed(transaction, { minutesTo });
    const first = this.sums.firstRowsFrom(minutesTo);
    for (const [kind, table] of [
      ['modules', tables.modules],
      ['systems', tables.systems],
    ] as const) {
      const row = first[kind] === undefined ? this.lastRows[kind] : first[kind] - 1;
      if (row !== undefined) await writeCursor(transaction, table, row);
    }
  }

  private async writeHours(): Promise<boolean> {
    const { minutesTo } = this.summed;
    const pass = this.hourPass ?? (await HourPass.next(this.db, this.summed));
    this.hourPass = pass;
    const hoursTo = pass === undefined ? startOf(minutesTo, 3600) : await pass.step();
    if (hoursTo !== undefined && hoursTo > this.summed.hoursTo) {
      await writeSummed(this.db, { hoursTo });
      this.summed = { minutesTo, hoursTo };
    }
    if (hoursTo !== undefined) this.hourPass = undefined;
    return pass === undefined;
  }
}

function asHours<Sum>(sums: readonly SumsOf<Sum>[], beforeMs: number): SumsOf<Sum>[] {
  return sums
    .filter(({ startAt }) => startAt < beforeMs)
    .map(({ startAt, sum }) => ({ startAt: startOf(startAt, 3600), sum }));
}

function summedUp(batches: readonly CountedBatch[]): Pick<MinutePass, 'modules' | 'machines'> {
  const sums = new OpenSums();
  sums.add(batches, { modules: undefined, systems: undefined });
  return {
    modules: sums.modulesBefore(Number.POSITIVE_INFINITY),
    machines: sums.machinesBefore(Number.POSITIVE_INFINITY),
  };
}
