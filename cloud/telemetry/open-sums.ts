/** Minutes that are not over, added up in memory: each is written once it is. All of it follows from rows in the store. */
import { ModuleSum, type ModuleCounts, type ModuleNames } from './module-sum.js';
import { startOf } from './summed.js';
import { GaugesSum, type SystemGauges } from './system-gauges.js';

/** A batch that was stored, or a part of it, as far as sums care. */
export interface CountedBatch {
  readonly workspace: string;
  readonly device: string;
  readonly receivedAt: number;
  readonly modules: readonly (Omit<ModuleNames, 'workspace' | 'device'> & ModuleCounts)[];
  /** What it told of the machine, as stored. */
  readonly system?: { readonly gauges: SystemGauges; readonly json: string } | undefined;
}

export interface MachineSum {
  readonly workspace: string;
  readonly device: string;
  readonly readings: number;
  readonly gauges: SystemGauges;
  /** The last reading, as it was stored. */
  readonly lastJson: string;
}

class OpenMachine implements MachineSum {
  readings = 0;
  lastJson = '';
  private readonly sum = new GaugesSum();

  constructor(
    readonly workspace: string,
    readonly device: string,
  ) {}

  get gauges(): SystemGauges {
    return this.sum.gauges;
  }

  add({ gauges, json }: NonNullable<CountedBatch['system']>): void {
    this.readings += 1;
    this.sum.add(gauges);
    this.lastJson = json;
  }
}

/** Of one minute or hour. */
export interface SumsOf<Sum> {
  readonly startAt: number;
  readonly sum: Sum;
}

/** Numbers of rows in the store's tables. */
export interface RowNumbers {
  readonly modules: number | undefined;
  readonly systems: number | undefined;
}

interface Minute {
  readonly modules: Map<string, ModuleSum>;
  readonly machines: Map<string, OpenMachine>;
  firstRows: RowNumbers;
}

export class OpenSums {
  private readonly minutes = new Map<number, Minute>();

  /** @param rows none of what was received in these minutes is of a row before */
  add(batches: Iterable<CountedBatch>, rows: RowNumbers): void {
    for (const batch of batches) {
      const minute = this.minuteOf(startOf(batch.receivedAt, 60));
      minute.firstRows = {
        modules: least(minute.firstRows.modules, rows.modules),
        systems: least(minute.firstRows.systems, rows.systems),
      };
      addTo(minute, batch);
    }
  }

  /** Epoch milliseconds; undefined where there is none. */
  get newest(): number | undefined {
    return this.minutes.size === 0 ? undefined : Math.max(...this.minutes.keys());
  }

  /** Of minutes that begin before. */
  modulesBefore(beforeMs: number): SumsOf<ModuleSum>[] {
    return this.before(beforeMs, ({ modules }) => modules);
  }

  machinesBefore(beforeMs: number): SumsOf<MachineSum>[] {
    return this.before(beforeMs, ({ machines }) => machines);
  }

  forgetBefore(beforeMs: number): void {
    for (const startAt of this.minutes.keys()) if (startAt < beforeMs) this.minutes.delete(startAt);
  }

  /** No row before these was received from then on. */
  firstRowsFrom(fromMs: number): RowNumbers {
    const left = [...this.minutes].filter(([startAt]) => startAt >= fromMs).map(([, { firstRows }]) => firstRows);
    return {
      modules: left.map(({ modules }) => modules).reduce(least, undefined),
      systems: left.map(({ systems }) => systems).reduce(least, undefined),
    };
  }

  private minuteOf(startAt: number): Minute {
    const known = this.minutes.get(startAt);
    if (known) return known;
    const minute: Minute = {
      ...{ modules: new Map(), machines: new Map() },
      firstRows: { modules: undefined, systems: undefined },
    };
    this.minutes.set(startAt, minute);
    return minute;
  }

  private before<Sum>(beforeMs: number, sumsOf: (minute: Minute) => Map<string, Sum>): SumsOf<Sum>[] {
    return [...this.minutes]
      .filter(([startAt]) => startAt < beforeMs)
      .flatMap(([startAt, minute]) => [...sumsOf(minute).values()].map((sum) => ({ startAt, sum })));
  }
}

function addTo({ modules, machines }: Minute, { workspace, device, modules: told, system }: CountedBatch): void {
  for (const one of told) {
    const { module, version, digest, provider } = one;
    const key = `${workspace}/${device}/${module}/${String(version)}/${digest}/${provider}`;
    const known = modules.get(key);
    const sum = known ?? new ModuleSum({ workspace, device, module, version, digest, provider });
    if (!known) modules.set(key, sum);
    sum.add(one);
  }
  if (!system) return;
  const key = `${workspace}/${device}`;
  const known = machines.get(key);
  const sum = known ?? new OpenMachine(workspace, device);
  if (!known) machines.set(key, sum);
  sum.add(system);
}

function least(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.min(one, other);
}
