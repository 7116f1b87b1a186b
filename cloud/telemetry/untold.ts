/** What was summed up and is yet to be told: of modules as it comes, of devices once their minute is over. */
import { SketchSum } from '#shared/protocol/sketch-sum.js';
import type { ModuleCounts, ModuleNames, ModuleSum } from './module-sum.js';
import type { CountedBatch, MachineSum, SumsOf } from './open-sums.js';
import type { SystemGauges } from './system-gauges.js';

type Counts = Omit<ModuleCounts, 'detail'>;
/** Over all devices. */
export type ToldModule = Pick<ModuleNames, 'workspace' | 'module' | 'version'> & Counts;
/** Of one device in one minute. */
export type ModuleMinute = ModuleNames & Counts & { readonly startAt: number };
export interface MachineMinute {
  readonly workspace: string;
  readonly device: string;
  readonly startAt: number;
  readonly gauges: SystemGauges;
}

export interface Told {
  /** What was new, once. */
  readonly modules: readonly ToldModule[];
  /** What was new in minutes that are over, where it is asked for by device. */
  readonly minutes: readonly ModuleMinute[];
  readonly machines: readonly MachineMinute[];
}

interface Sum {
  readonly names: Pick<ModuleNames, 'workspace' | 'module' | 'version'>;
  requests: number;
  readonly errors: Map<string, number>;
  readonly latency: SketchSum;
}

/** By module and version, over all devices. */
export class ModuleTotals {
  private readonly sums = new Map<string, Sum>();

  add(batches: Iterable<CountedBatch>): void {
    for (const { workspace, modules } of batches) {
      for (const { module, version, requests, errors, latency } of modules) {
        const sum = this.sumOf({ workspace, module, version });
        sum.requests += requests;
        for (const code of Object.keys(errors)) addCount(sum, code, errors[code]);
        sum.latency.add(latency);
      }
    }
  }

  addTotals(more: ModuleTotals): void {
    for (const { names, requests, errors, latency } of more.sums.values()) {
      const sum = this.sumOf(names);
      sum.requests += requests;
      for (const [code, count] of errors) addCount(sum, code, count);
      sum.latency.add(latency.encoded());
    }
  }

  told(): ToldModule[] {
    return [...this.sums.values()].map(({ names, requests, errors, latency }) => ({
      ...{ ...names, requests, errors: Object.fromEntries(errors), latency: latency.encoded() },
    }));
  }

  private sumOf(names: Sum['names']): Sum {
    const key = `${names.workspace}/${names.module}/${String(names.version)}`;
    const known = this.sums.get(key);
    if (known) return known;
    const sum = { names, requests: 0, errors: new Map<string, number>(), latency: new SketchSum() };
    this.sums.set(key, sum);
    return sum;
  }
}

function addCount({ errors }: Sum, code: string, count = 0): void {
  errors.set(code, (errors.get(code) ?? 0) + count);
}

export class Untold {
  private modules = new ModuleTotals();
  private minutes: ModuleMinute[] = [];
  private machines: MachineMinute[] = [];

  /** @param byDevice somebody wants to know it by device too */
  constructor(private readonly byDevice: boolean) {}

  addModules(totals: ModuleTotals): void {
    this.modules.addTotals(totals);
  }

  addMinutes(modules: readonly SumsOf<ModuleSum>[], machines: readonly SumsOf<MachineSum>[]): void {
    if (!this.byDevice) return;
    for (const { startAt, sum } of modules) {
      const { detail: _detail, ...counts } = sum.counts();
      this.minutes.push({ ...sum.names, ...counts, startAt });
    }
    for (const { startAt, sum } of machines) {
      const { workspace, device, gauges } = sum;
      this.machines.push({ workspace, device, startAt, gauges });
    }
  }

  take(): Told {
    const modules = this.modules.told();
    const { minutes, machines } = this;
    this.modules = new ModuleTotals();
    this.minutes = [];
    this.machines = [];
    return { modules, minutes, machines };
  }
}
