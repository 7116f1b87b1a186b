/** One alarm for each machine: raised once when several windows in a row are unlike normal ones, and cleared once. */

export type Change = 'raised' | 'cleared';

interface State {
  raised: boolean;
  /** Windows in a row that speak against what is said now. */
  contrary: number;
}

/** Of machines that were heard of last. */
const maxMachines = 10_000;

export class Alarms {
  private readonly machines = new Map<string, State>();

  /** @param inARow how many windows it takes, at least 1 */
  constructor(private readonly inARow: number) {}

  /** Undefined where nothing changes. */
  judge(machine: string, isAnomaly: boolean): Change | undefined {
    const state = this.machines.get(machine) ?? { raised: false, contrary: 0 };
    this.machines.delete(machine);
    this.machines.set(machine, state);
    const [oldest] = this.machines.keys();
    if (this.machines.size > maxMachines && oldest !== undefined) this.machines.delete(oldest);

    state.contrary = isAnomaly === state.raised ? 0 : state.contrary + 1;
    if (state.contrary < this.inARow) return undefined;
    state.contrary = 0;
    state.raised = isAnomaly;
    return isAnomaly ? 'raised' : 'cleared';
  }

  isRaised(machine: string): boolean {
    return this.machines.get(machine)?.raised ?? false;
  }
}
