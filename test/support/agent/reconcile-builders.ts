/** Desired documents and images for plans, and a device that does what it is told, in memory. */
import {
  type Desired,
  type DesiredModule,
  desiredShadowSchema,
  type ImageReference,
  type UpdatePolicy,
} from '#shared/protocol/desired.js';
import type { Problem } from '#shared/kernel/errors.js';
import type { Action } from '#agent/reconcile/action.js';
import type { Calendar } from '#agent/reconcile/calendar.js';
import {
  entry,
  nothingObserved,
  type Observed,
  type ProbationSample,
  sameSet,
  versionKeyOf,
} from '#agent/reconcile/observed.js';
import type { Fact } from '#agent/reconcile/fact.js';
import { observe } from '#agent/reconcile/observe.js';
import { planDevice, type Plan, wakeTimes } from '#agent/reconcile/plan.js';
import { defaultPolicy } from '#agent/reconcile/policy.js';
import { ruleKeyOf, shadowTrackOf } from '#agent/reconcile/shadows.js';

export function digestNumber(number: number): string {
  return `sha256:${number.toString(16).padStart(64, '0')}`;
}

export function imageNumber(number: number, name = 'digits'): ImageReference {
  const signature = { digest: digestNumber(number + 1_000_000), size: 300 };
  return { name, version: number, digest: digestNumber(number), size: 1000, signature };
}

export function moduleNumber(number: number, update?: UpdatePolicy): DesiredModule {
  return {
    image: imageNumber(number),
    settings: {},
    policy: { restart: 'always', maxRestarts: 20, windowSeconds: 600 },
    ...(update === undefined ? {} : { update }),
  };
}

export function withShadow(module: DesiredModule, number: number, percent = 100): DesiredModule {
  return { ...module, shadow: desiredShadowSchema.parse({ image: imageNumber(number), percent }) };
}

export function desiredOf(
  generation: number,
  modules: Record<string, DesiredModule>,
  prefetch: Desired['prefetch'] = [],
): Desired {
  return {
    schema: 1,
    workspace: 'lab',
    device: 'cam-1',
    generation,
    issuedAt: '2026-01-01T00:00:00.000Z',
    expiresAt: '2027-01-01T00:00:00.000Z',
    modules,
    prefetch,
  };
}

/** How an image behaves when it is fetched or proved, or on probation: it fails requests, or ends its host. */
export type Fate = 'good' | 'rejected' | 'flaky' | 'crashes' | 'errs' | 'dies';

const rejection: Problem = { code: 'golden.mismatch', message: 'differs' };
const failure: Problem = { code: 'score.timeout', message: 'slow' };

/** A device whose every action has its outcome at once. */
export class SimulatedDevice {
  observed: Observed = { ...nothingObserved, linkUp: true };
  desired: Desired | undefined;
  now = 0;
  /** By which it is midnight of the first of January when `now` is 0. */
  calendar: Calendar = { offset: Date.parse('2026-01-01T00:00:00.000Z'), timeZone: 'UTC' };
  /** What was done, for properties to look at. */
  readonly done: {
    readonly action: Action;
    readonly before: Observed;
    readonly at: number;
    readonly desired: Desired | undefined;
    readonly generation: number;
  }[] = [];
  private readonly flakes = new Map<string, number>();

  constructor(private readonly fateOf: (digest: string) => Fate) {}

  accept(desired: Desired): void {
    this.desired = desired;
    this.take({ kind: 'desiredAccepted', desired, rejections: {} });
  }

  plan(): Plan {
    const { desired, observed, now, calendar } = this;
    return planDevice({ desired, observed, policy: defaultPolicy, now, calendar });
  }

  /** Plans and acts until converged, or nothing is left but to wait for something that will not come. */
  settle(maxRounds: number): { readonly rounds: number; readonly plan: Plan } {
    for (let rounds = 1; rounds <= maxRounds; rounds++) {
      const plan = this.plan();
      for (const action of plan.actions) this.act(action);
      if (plan.actions.length > 0) continue;
      const times = wakeTimes(plan, this.now, this.calendar);
      if (times.length === 0) return { rounds, plan };
      this.now = Math.max(this.now, Math.min(...times));
    }
    throw new Error(`not settled after ${String(maxRounds)} rounds: ${JSON.stringify(this.plan())}`);
  }

  /** The next action, or the passing of time until there may be one. */
  step(): void {
    const plan = this.plan();
    const [action] = plan.actions;
    const times = wakeTimes(plan, this.now, this.calendar);
    if (action !== undefined) this.act(action);
    else if (times.length > 0) this.now = Math.max(this.now, Math.min(...times));
  }

  take(fact: Fact): void {
    this.observed = observe(this.observed, fact, { at: this.now, random: 0.5 });
  }

  act(action: Action): void {
    const { observed: before, now: at, desired } = this;
    this.done.push({ action, before, at, desired, generation: desired?.generation ?? 0 });
    this.now += 1;
    switch (action.kind) {
      case 'startFetch': {
        const { track, key, image } = action;
        this.take({ kind: 'fetchStarted', track, key });
        if (this.fateOf(image.digest) === 'flaky' && this.flake(`fetch ${image.digest}`)) {
          this.take({ kind: 'versionFailed', track, key, problem: { code: 'blob.not-found', message: 'not yet' } });
        } else this.take({ kind: 'staged', track, key });
        return;
      }
      case 'cancelFetch': {
        const key = entry(this.observed.tracks, action.track)?.key;
        if (key !== undefined) this.take({ kind: 'fetchCancelled', track: action.track, key });
        return;
      }
      case 'startServing':
        this.take({ kind: 'servingStarting' });
        this.take({ kind: 'servingStarted', scripts: [] });
        return;
      case 'startScript':
        this.take({ kind: 'scriptStarting', module: action.module });
        this.take({ kind: 'scriptStarted', module: action.module });
        return;
      case 'giveUp':
        this.take({ kind: 'gaveUp', process: action.process, reason: action.reason });
        return;
      case 'prepareSet':
        this.take({ kind: 'candidateStarting', set: action.set });
        this.take({ kind: 'candidateLoaded' });
        return;
      case 'discardCandidate':
        this.take({ kind: 'candidateGone' });
        return;
      case 'prove':
        this.prove(action.module, action.key);
        return;
      case 'switchSet':
        if (this.observed.candidate === undefined || !sameSet(this.observed.candidate.set, action.set)) return;
        this.take({ kind: 'switched', scripts: [], watched: action.watched });
        if (
          action.watched.length > 0 &&
          Object.values(this.observed.probation?.changed ?? {}).some((key) => this.is(key, 'dies'))
        )
          this.take({ kind: 'hostExited', clean: false, reason: 'SIGSEGV' });
        return;
      case 'sampleProbation':
        this.take({ kind: 'probationAsked' });
        this.take({ kind: 'probationSampled', sample: this.sample() });
        return;
      case 'returnSet': {
        const { changed = {} } = this.observed.probation ?? {};
        for (const track of action.failed) {
          const problem = action.problem ?? failure;
          this.take({ kind: 'versionFailed', track, key: changed[track] ?? '', problem });
        }
        this.take({ kind: 'returned', warm: true, scripts: [] });
        return;
      }
      case 'commitSet':
        this.take({ kind: 'committed', generation: action.generation, set: action.set });
        return;
      case 'dropRetired':
        this.take({ kind: 'retiredDraining' });
        this.take({ kind: 'retiredDropped' });
        return;
      case 'startShadow':
        this.take({ kind: 'shadowStarting', module: action.module, key: action.key });
        this.startShadow(action.module, action.key);
        return;
      case 'mirrorShadow': {
        const shadow = this.desired?.modules[action.module]?.shadow;
        if (shadow === undefined) return;
        const { module, key } = action;
        this.take({ kind: 'shadowMirrored', module, key, rule: ruleKeyOf(shadow) });
        if (this.is(key, 'dies')) this.take({ kind: 'shadowExited', module, key, clean: false, reason: 'SIGSEGV' });
        return;
      }
      case 'stopShadow':
        this.take({ kind: 'shadowGone', module: action.module });
        return;
      case 'refuseShadow': {
        const { module, key, problem } = action;
        this.take({ kind: 'versionFailed', track: shadowTrackOf(module), key, problem });
        return;
      }
      case 'collectGarbage':
        this.take({ kind: 'garbageChanged', due: false });
    }
  }

  /** Each second of probation brings ten requests. */
  private sample(): ProbationSample {
    const { since = 0, changed = {}, watched = [] } = this.observed.probation ?? {};
    const requests = Math.floor((this.now - since) / 100);
    return {
      at: this.now,
      modules: Object.fromEntries(
        watched.map((name) => {
          const errors = this.is(changed[name] ?? '', 'errs') ? requests : 0;
          return [
            name,
            { candidate: { requests, errors, p99Ms: 1 }, incumbent: { requests: 1000, errors: 0, p99Ms: 1 } },
          ];
        }),
      ),
    };
  }

  private is(key: string, fate: Fate): boolean {
    const [digest] = JSON.parse(key) as [string];
    return this.fateOf(digest) === fate;
  }

  private prove(track: string, key: string): void {
    this.take({ kind: 'provingStarted', track, key });
    const digest = entry(this.observed.tracks, track)?.image.digest ?? '';
    const fate = this.fateOf(digest);
    if (fate === 'rejected') this.take({ kind: 'versionFailed', track, key, problem: rejection });
    else if ((fate === 'flaky' || fate === 'crashes') && this.flake(`prove ${digest}`)) {
      this.take({ kind: 'versionFailed', track, key, problem: failure });
    } else this.take({ kind: 'proved', track, key });
  }

  private startShadow(module: string, key: string): void {
    const failed = this.is(key, 'rejected') ? rejection : this.is(key, 'flaky') ? failure : undefined;
    if (failed === undefined || (failed === failure && !this.flake(`shadow ${key}`))) {
      this.take({ kind: 'shadowRunning', module, key, provider: 'cpu', numbers: {} });
      return;
    }
    this.take({ kind: 'shadowGone', module });
    this.take({ kind: 'versionFailed', track: shadowTrackOf(module), key, problem: failed });
  }

  /** Fails twice, then works. */
  private flake(what: string): boolean {
    const times = (this.flakes.get(what) ?? 0) + 1;
    this.flakes.set(what, times);
    return times <= 2;
  }
}

export { versionKeyOf };
