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

export class Untold {
  private modules = new Map<string, Sum>();
  private minutes: ModuleMinute[] = [];
  private machines: MachineMinute[] = [];

  /** @param byDevice somebody wants to know it by device too */
  constructor(private readonly byDevice: boolean) {}

  add(batches: Iterable<CountedBatch>): void {
    for (const { workspace, modules } of batches) {
      for (const { module, version, requests, errors, latency } of modules) {
        const key = `${workspace}/${module}/${String(version)}`;
        const sum = this.modules.get(key) ?? {
          ...{
            names: { workspace, module, version },
            requests: 0,
            errors: new Map<string, number>(),
            latency: new SketchSum(),
          },
        };
        this.modules.set(key, sum);
        sum.requests += requests;
        for (const code of Object.keys(errors)) sum.errors.set(code, (sum.errors.get(code) ?? 0) + (errors[code] ?? 0));
        sum.latency.add(latency);
      }
    }
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
    const modules = [...this.modules.values()].map(({ names, requests, errors, latency }) => ({
      ...{ ...names, requests, errors: Object.fromEntries(errors), latency: latency.encoded() },
    }));
    const { minutes, machines } = this;
    this.modules = new Map();
    this.minutes = [];
    this.machines = [];
    return { modules, minutes, machines };
  }
}
