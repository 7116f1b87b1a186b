/** A simulated device whose actions end later than they begin, so that anything may happen in between. */
import type { Action, ActionKind } from '#agent/reconcile/action.js';
import type { Fact } from '#agent/reconcile/fact.js';
import { wakeTimes } from '#agent/reconcile/plan.js';
import { SimulatedDevice } from '#test/support/agent/reconcile-builders.js';

/** Their first fact is there when they begin; the rest comes while the reconciler goes on. */
const goOnBeside: readonly ActionKind[] = [
  'startFetch',
  'startServing',
  'startScript',
  'prepareSet',
  'prove',
  'sampleProbation',
  'dropRetired',
];
/** After these an answer of the candidate before is nobody's. */
const endCandidate: readonly ActionKind[] = ['prepareSet', 'discardCandidate', 'switchSet'];
/** After these a host that was still starting is nobody's. */
const endStart: readonly ActionKind[] = ['startServing', 'switchSet', 'returnSet'];

interface Outcome {
  readonly of: ActionKind;
  readonly facts: readonly Fact[];
  readonly stands: () => boolean;
}

export class LateDevice extends SimulatedDevice {
  private collecting: Fact[] | undefined;
  /** What the reconciler waits for before it plans again. */
  private awaited: Outcome | undefined;
  private beside: Outcome[] = [];
  private candidates = 0;
  private starts = 0;

  override take(fact: Fact): void {
    if (this.collecting === undefined) super.take(fact);
    else this.collecting.push(fact);
  }

  override act(action: Action): void {
    const facts: Fact[] = [];
    this.collecting = facts;
    super.act(action);
    this.collecting = undefined;
    const { kind } = action;
    if (!goOnBeside.includes(kind)) {
      this.awaited = { of: kind, facts, stands: () => true };
      return;
    }
    this.count(kind);
    const { candidates, starts } = this;
    const stands = (): boolean => {
      if (kind === 'prepareSet' || kind === 'prove') return this.candidates === candidates;
      return kind !== 'startServing' || this.starts === starts;
    };
    const [begun, ...rest] = facts;
    if (begun !== undefined) this.take(begun);
    if (rest.length > 0) this.beside.push({ of: kind, facts: rest, stands });
  }

  /** Begins the next action, where the last one is over. @returns false when there is none to begin */
  begin(): boolean {
    if (this.awaited !== undefined) return false;
    const [action] = this.plan().actions;
    if (action === undefined) return false;
    this.act(action);
    return true;
  }

  /** One of the actions under way ends. @returns false when there are none */
  end(choice: number): boolean {
    const all = this.awaited === undefined ? this.beside : [this.awaited, ...this.beside];
    const outcome = all[choice % Math.max(1, all.length)];
    if (outcome === undefined) return false;
    if (outcome === this.awaited) {
      this.awaited = undefined;
      this.count(outcome.of);
    } else this.beside = this.beside.filter((one) => one !== outcome);
    if (outcome.stands()) for (const fact of outcome.facts) this.take(fact);
    return true;
  }

  hostEnds(): void {
    if (this.observed.serving.host.state === 'running')
      this.take({ kind: 'hostExited', clean: false, reason: 'SIGSEGV' });
  }

  override settle(maxRounds: number): ReturnType<SimulatedDevice['settle']> {
    for (let round = 0; round < maxRounds; round++) {
      if (this.begin() || this.end(round)) continue;
      const plan = this.plan();
      const times = wakeTimes(plan, this.now, this.calendar);
      if (times.length === 0) return { plan, rounds: round };
      this.now = Math.max(this.now, Math.min(...times));
    }
    throw new Error(`not settled after ${String(maxRounds)} rounds: ${JSON.stringify(this.plan())}`);
  }

  private count(kind: ActionKind): void {
    if (endCandidate.includes(kind)) this.candidates += 1;
    if (endStart.includes(kind)) this.starts += 1;
  }
}
