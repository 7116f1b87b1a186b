/**
 * A route to an input of a module: what its source brings waits in its queue, and is asked of the module one
 * after the other. What the module cannot take now is asked again; what it will never take is counted.
 */
import { backoffMs } from '#shared/kernel/backoff.js';
import type { Clock } from '#shared/kernel/clock.js';
import type { Random } from '#shared/kernel/ids.js';
import { type Asked, askModule, type ModuleRequest, type ScoringAddress } from './ask-module.js';
import { BoundedQueue } from './bounded-queue.js';
import { encodeInput, type InputOf } from './encode-input.js';
import { RouteFault, type LossReason, type Payload, type RouteItem } from './payload.js';
import type { PlannedRoute } from './plan.js';
import { RouteCounts } from './route-counts.js';
import type { Source, SourcePorts } from './sources/source.js';

export interface InwardPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly scoring: ScoringAddress;
  readonly maxAnswerBytes: number;
  readonly openSource: (planned: PlannedRoute, ports: SourcePorts) => Source;
  /** What the module is asked with. */
  readonly inputOf: (module: string, flavor: PlannedRoute['flavor']) => Promise<InputOf>;
  /** An answer, for the module's default output. */
  readonly onAnswer: (module: string, payload: Payload, signal: AbortSignal) => Promise<void>;
  readonly onBug: (error: unknown) => void;
}

export const askAgain = { baseMs: 100, maxMs: 10_000 };
/** An item under which the process that answers ended so often is what ends it. */
export const maxCrashes = 3;

export class InwardRoute {
  readonly direction = 'in';
  readonly counts = new RouteCounts();
  readonly queue: BoundedQueue<RouteItem>;
  /** What keeps data from coming, or from being answered. */
  problem: string | undefined;
  private sourceProblem: string | undefined;
  private source: Source | undefined;
  private readonly stopping = new AbortController();
  private readonly pumping: Promise<void>;

  constructor(
    public planned: PlannedRoute,
    private readonly ports: InwardPorts,
  ) {
    this.queue = new BoundedQueue(planned.limits, (item, why) => this.lose(item, why));
    this.openSource();
    this.pumping = this.pump().catch(ports.onBug);
  }

  get waitsFor(): string | undefined {
    return this.sourceProblem ?? this.source?.problem?.() ?? this.problem;
  }

  /** What waits goes on to the module as it is routed now. */
  async change(planned: PlannedRoute): Promise<void> {
    const before = this.planned;
    this.planned = planned;
    this.queue.setLimits(planned.limits);
    if (JSON.stringify(before.route.from) === JSON.stringify(planned.route.from)) return;
    const { source } = this;
    this.source = undefined;
    await source?.stop();
    if (!this.stopping.signal.aborted) this.openSource();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.source?.stop();
    await this.pumping;
    for (const item of this.queue.drain()) this.lose(item, 'gone');
  }

  private openSource(): void {
    this.sourceProblem = undefined;
    this.source = this.ports.openSource(this.planned, {
      queue: this.queue,
      onEntered: () => this.counts.entered(),
      onProblem: (problem) => {
        this.sourceProblem = problem;
      },
    });
  }

  private async pump(): Promise<void> {
    const { signal } = this.stopping;
    for (let item = await this.queue.take(signal); item !== undefined; item = await this.queue.take(signal)) {
      await this.bring(item, signal);
    }
  }

  private async bring(item: RouteItem, signal: AbortSignal): Promise<void> {
    const { clock, random } = this.ports;
    let request: ModuleRequest | undefined;
    let [tries, crashes] = [0, 0];
    for (;;) {
      let asked: Asked;
      try {
        request ??= await this.encode(item);
        asked = await this.ask(request, item, signal);
      } catch (error) {
        if (!(error instanceof RouteFault)) throw error;
        this.lose(item, error.reason, error.message);
        return;
      }
      if (asked.kind === 'answered') {
        this.problem = undefined;
        this.counts.left();
        item.settled('answered');
        for (const payload of asked.payloads) await this.ports.onAnswer(this.planned.module, payload, signal);
        return;
      }
      if (asked.kind === 'lost') {
        this.lose(item, asked.reason, asked.message);
        return;
      }
      if (signal.aborted) {
        this.lose(item, 'gone');
        return;
      }
      if (asked.begun) crashes += 1;
      if (crashes >= maxCrashes) {
        this.lose(item, 'failed', `what answers ended ${String(crashes)} times over it: ${asked.message}`);
        return;
      }
      tries += 1;
      this.problem = asked.message;
      await clock.sleep(backoffMs(tries, askAgain, random()), signal);
    }
  }

  private async encode(item: RouteItem): Promise<ModuleRequest> {
    const { module, flavor, route } = this.planned;
    const bytes = await item.load();
    return encodeInput(bytes, route.codec ?? 'json', await this.ports.inputOf(module, flavor));
  }

  private ask(request: ModuleRequest, { source }: RouteItem, signal: AbortSignal): Promise<Asked> {
    const { scoring, maxAnswerBytes } = this.ports;
    const { to } = this.planned.route;
    const input = 'input' in to ? to.input : '';
    return askModule(scoring, { request, input, source, maxAnswerBytes }, signal);
  }

  private lose(item: RouteItem, reason: LossReason, message?: string): void {
    this.counts.lost(reason, message === undefined ? undefined : `${item.source ?? 'an item'}: ${message}`);
    item.settled(reason);
  }
}
