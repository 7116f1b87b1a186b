/**
 * One run of one replica, from its start to its end: started within its time, probed as Azure probes, ended when it
 * is not alive. It decides nothing about what comes after its end.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { AppError, type Problem, toProblem } from '#shared/kernel/errors.js';
import type { ModuleMetrics } from '#shared/protocol/stream.js';
import type { Probe } from '../desired-services.js';
import { probeReplica } from './probe-replica.js';
import { noAnswers, startAllowanceMs, tally, verdictOf } from './probing.js';
import type { ReadyImage, ReplicaOrder, ReplicaRuntime, RunningReplica } from './replica-runtime.js';

export interface ReplicaEvents {
  readonly onReady: () => void;
  readonly onUnready: (problem: Problem) => void;
  /** What it counted since it was last asked; also when it ends. */
  readonly onMetrics: (metrics: ModuleMetrics) => void;
  /** Once, and nothing after it. It is not called when the replica was told to end. */
  readonly onExit: (problem: Problem) => void;
  readonly onBug: (error: unknown) => void;
}

export interface ReplicaPorts {
  readonly clock: Clock;
  readonly runtime: ReplicaRuntime;
  /** Verified and unpacked, each time. */
  readonly image: () => Promise<ReadyImage>;
  readonly order: Omit<ReplicaOrder, 'signal' | 'image'>;
  readonly events: ReplicaEvents;
}

export class Replica {
  private readonly ending = new AbortController();
  private running: RunningReplica | undefined;
  private readonly done: Promise<void>;
  private looking: AbortController | undefined;
  private asked: Promise<void> | undefined;

  constructor(private readonly ports: ReplicaPorts) {
    this.done = this.live().catch((error: unknown) => {
      if (!(error instanceof AppError)) ports.events.onBug(error);
      if (!this.ending.signal.aborted) ports.events.onExit(toProblem(error));
    });
  }

  /** Undefined while it starts. */
  get run(): RunningReplica | undefined {
    return this.running;
  }

  /** Somebody saw that it does not answer: it is asked now, not when it is due. */
  lookNow(): void {
    this.looking?.abort();
  }

  /** What it counted comes by {@link ReplicaEvents.onMetrics}; one that does not answer is not asked again. */
  askMetrics(): Promise<void> {
    const { running } = this;
    if (running === undefined) return Promise.resolve();
    this.asked ??= running
      .takeMetrics()
      .then((metrics) => this.tellMetrics(metrics), this.ports.events.onBug)
      .finally(() => (this.asked = undefined));
    return this.asked;
  }

  async drain(timeoutMs: number): Promise<void> {
    this.ending.abort();
    this.tellMetrics(await this.running?.drain(timeoutMs));
    await this.done;
  }

  async kill(): Promise<void> {
    this.ending.abort();
    await this.running?.kill();
    await this.done;
  }

  private tellMetrics(metrics: ModuleMetrics | undefined): void {
    if (metrics !== undefined) this.ports.events.onMetrics(metrics);
  }

  private async live(): Promise<void> {
    const { order, runtime, clock, events } = this.ports;
    const startedAt = clock.monotonic();
    const image = await this.ports.image();
    const running = await this.startWithin(() => {
      const late = AbortSignal.timeout(startAllowanceMs(order.spec.liveness));
      return runtime.start({ ...order, image, signal: AbortSignal.any([this.ending.signal, late]) });
    });
    this.running = running;
    // Told to end in the very moment in which it was there.
    if (this.ending.signal.aborted) return running.kill();
    const { liveness, readiness } = order.spec;
    const gone = new AbortController();
    void running.exited.then(() => gone.abort());
    const over = AbortSignal.any([gone.signal, this.ending.signal]);
    await Promise.all([
      this.watch('ready', readiness, startedAt, over, (passes, why) => {
        if (passes) events.onReady();
        else events.onUnready({ code: 'score.not-ready', message: `it is not ready: ${why}` });
      }),
      this.watch('live', liveness, startedAt, over, (passes, why) => {
        if (passes) return;
        order.onLog(`it is not alive: ${why}; it is ended`);
        void running.kill();
      }),
    ]);
    const problem = await running.exited;
    if (!this.ending.signal.aborted) events.onExit(problem);
  }

  private async startWithin(start: () => Promise<RunningReplica>): Promise<RunningReplica> {
    const { liveness } = this.ports.order.spec;
    try {
      return await start();
    } catch (error) {
      if (!(error instanceof AppError && error.code === 'request.aborted') || this.ending.signal.aborted) throw error;
      const seconds = String(startAllowanceMs(liveness) / 1000);
      throw new AppError('process.failed', `it did not start within ${seconds} s, the time of its liveness probe`, {
        cause: error,
      });
    }
  }

  /** Tells each change of the verdict. */
  private async watch(
    question: 'live' | 'ready',
    probe: Probe,
    startedAt: number,
    over: AbortSignal,
    tell: (passes: boolean, why: string) => void,
  ): Promise<void> {
    const { clock } = this.ports;
    const { running } = this;
    if (running === undefined) return;
    let answers = noAnswers;
    let told: 'passes' | 'fails' | undefined;
    let pause = new AbortController();
    over.addEventListener('abort', () => pause.abort(), { once: true });
    while (!over.aborted) {
      const wrong = await probeReplica(running.address, question, probe.timeoutSeconds * 1000);
      if (over.aborted) return;
      answers = tally(answers, wrong === undefined, probe, clock.monotonic() - startedAt);
      const verdict = verdictOf(answers, probe);
      if (verdict !== 'as before' && verdict !== told) {
        told = verdict;
        tell(verdict === 'passes', wrong ?? '');
      }
      pause = new AbortController();
      if (question === 'live') this.looking = pause;
      await clock.sleep(probe.periodSeconds * 1000, pause.signal);
    }
  }
}
