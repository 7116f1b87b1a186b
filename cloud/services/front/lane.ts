/**
 * One deployment as requests meet it: its replicas, and those who wait for one. Invariants: a ready replica never has more
 * under way than its deployment allows; who waits goes in the order in which they came; nobody waits unbounded.
 */
import { AppError } from '#shared/kernel/errors.js';
import { admissionOf, leastOutstanding } from './choose.js';
import { DeploymentTally } from './deployment-tally.js';
import type { FrontDeployment, FrontImage } from './front-table.js';
import type { Replica } from './replica.js';

/** A request's turn. One of the two is called, once, maybe before {@link Lane.ask} returns; none after {@link Lane.leave}. */
export interface Turn {
  /** Replicas that could not be reached for it. */
  readonly tried: readonly Replica[];
  given(replica: Replica): void;
  refused(error: AppError): void;
}

export interface LaneEvents {
  monotonicMs(): number;
  /** A replica is needed, and there is none. */
  need(deployment: string): void;
}

type Settings = Pick<FrontDeployment, 'request' | 'firstRequestWaitMs' | 'image'>;

/** Who waits for a first replica asks for it again and again, but not with each request. */
const needAgainMs = 1000;

export class Lane {
  readonly tally = new DeploymentTally();
  /** Requests that wait or are under way. */
  outstanding = 0;
  private replicas: readonly Replica[] = [];
  private waiting: Turn[] = [];
  private turns = 0;
  private neededMs: number | undefined;

  constructor(
    /** For messages: `deployment "blue" of endpoint "fraud"`. */
    readonly title: string,
    readonly name: string,
    private settings: Settings,
    private readonly events: LaneEvents,
  ) {}

  /** What it is to run. */
  get image(): FrontImage | undefined {
    return this.settings.image;
  }

  get timeoutMs(): number {
    return this.settings.request.timeoutMs;
  }

  /** How long a request may wait now, before a replica works on it; undefined: within its own time. */
  get firstWaitMs(): number | undefined {
    return this.ready().length === 0 ? this.settings.firstRequestWaitMs : undefined;
  }

  /** @param replicas of the table, ready or draining */
  set(settings: Settings, replicas: readonly Replica[]): void {
    this.settings = settings;
    this.replicas = replicas;
    if (this.ready().length > 0) {
      this.neededMs = undefined;
      this.next();
    } else if (settings.firstRequestWaitMs === undefined) this.refuseAll(this.absent());
    else if (this.waiting.length > 0) this.need();
  }

  close(error: AppError): void {
    this.replicas = [];
    this.refuseAll(error);
  }

  /** @returns why a request would be refused now; asked before its body is read */
  refusal(): AppError | undefined {
    const admission = this.admission(this.usable(none));
    if (admission === 'full') return this.full();
    return admission === 'absent' ? this.absent() : undefined;
  }

  /** @param again it had been let in before, and could not reach its replica */
  ask(turn: Turn, again = false): void {
    const usable = this.usable(turn.tried);
    if (again && usable.length === 0) {
      turn.refused(this.unreachable());
      return;
    }
    switch (this.admission(usable, again)) {
      case 'go': {
        const replica = this.pick(usable);
        if (replica) this.give(turn, replica);
        return;
      }
      case 'wait':
        if (again) this.waiting.unshift(turn);
        else this.waiting.push(turn);
        if (usable.length === 0) this.need();
        return;
      case 'full':
        turn.refused(this.full());
        return;
      case 'absent':
        turn.refused(this.absent());
    }
  }

  leave(turn: Turn): void {
    this.waiting = this.waiting.filter((other) => other !== turn);
  }

  release(replica: Replica): void {
    replica.release();
    this.next();
  }

  /** Whether a request would be answered at once. */
  get hasRoom(): boolean {
    return this.admission(this.usable(none)) === 'go';
  }

  /** Somebody would have asked who does not wait. */
  wake(): void {
    if (this.firstWaitMs !== undefined) this.need();
  }

  private ready(): readonly Replica[] {
    return this.replicas.filter(({ ready }) => ready);
  }

  /** Sound ones; all where none is: a request then is the trial. */
  private usable(tried: readonly Replica[]): readonly Replica[] {
    const ready = this.ready().filter((replica) => !tried.includes(replica));
    const sound = ready.filter((replica) => replica.sound);
    return sound.length > 0 ? sound : ready;
  }

  private admission(usable: readonly Replica[], again = false): ReturnType<typeof admissionOf> {
    const { maxConcurrentPerReplica } = this.settings.request;
    return admissionOf({
      replicas: usable.length,
      maxConcurrentPerReplica,
      free: usable.some(({ outstanding }) => outstanding < maxConcurrentPerReplica),
      waiting: again ? 0 : this.waiting.length,
      scalesFromZero: this.settings.firstRequestWaitMs !== undefined,
    });
  }

  private pick(usable: readonly Replica[]): Replica | undefined {
    return leastOutstanding(usable, this.settings.request.maxConcurrentPerReplica, this.turns++);
  }

  private give(turn: Turn, replica: Replica): void {
    replica.take();
    turn.given(replica);
  }

  private next(): void {
    while (this.waiting.length > 0) {
      const first = this.waiting[0];
      if (!first) return;
      const usable = this.usable(first.tried);
      const replica = this.pick(usable);
      if (replica) {
        this.waiting.shift();
        this.give(first, replica);
      } else if (usable.length === 0 && first.tried.length > 0) {
        this.waiting.shift();
        first.refused(this.unreachable());
      } else return;
    }
  }

  private need(): void {
    const nowMs = this.events.monotonicMs();
    if (this.neededMs !== undefined && nowMs - this.neededMs < needAgainMs) return;
    this.neededMs = nowMs;
    this.events.need(this.name);
  }

  private refuseAll(error: AppError): void {
    for (const turn of this.waiting.splice(0)) turn.refused(error);
  }

  private full(): AppError {
    return new AppError('score.overloaded', `${this.title} has as many requests as it may have: try again shortly`);
  }

  private absent(): AppError {
    return new AppError('score.not-ready', `${this.title} has no replica that answers: try again shortly`);
  }

  private unreachable(): AppError {
    return new AppError('score.not-ready', `no replica of ${this.title} can be reached: try again shortly`);
  }
}

const none: readonly Replica[] = [];
