/** The owner's end of a scoring host: one process that serves modules over HTTP on a handle of ours. */
import type { SendHandle } from 'node:child_process';
import { AppError, type Problem } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import type {
  FromScoringHost,
  HostConfig,
  HostModuleStats,
  LoadedModule,
  ToScoringHost,
} from '#shared/scoring/host-protocol.js';
import type { HostAccess } from '#shared/scoring/access/host-access.js';
import type { HostTraffic } from '#shared/scoring/traffic/traffic-schema.js';
import type { ExitCause } from './exit-cause.js';
import { HostChild, type SpawnOptions } from './host-child.js';
import { type Liveness, watchLiveness } from './liveness.js';

export interface HostStats {
  readonly modules: readonly HostModuleStats[];
  readonly rssBytes: number;
}

export interface Proof {
  readonly vectors: number;
  readonly slowestMs: number | undefined;
  /** By which the host grew for the module. */
  readonly memoryBytes: number;
}

export interface ScoringHostOptions extends SpawnOptions {
  readonly liveness?: Liveness;
}

const usualLiveness: Liveness = { everyMs: 5000, silenceMs: 30_000 };

export class ScoringHostProcess {
  private readonly child: HostChild<ToScoringHost, FromScoringHost>;

  private constructor({ liveness = usualLiveness, ...options }: ScoringHostOptions) {
    this.child = new HostChild('the scoring host', { oomScore: 300, ...options });
    watchLiveness(this.child, { type: 'ping' }, liveness);
  }

  /** Starts the process; a failure to start shows in `exited` and in the first question. */
  static spawn(options: ScoringHostOptions): ScoringHostProcess {
    return new ScoringHostProcess(options);
  }

  /** 0 when the process could not be started. */
  get pid(): number {
    return this.child.pid ?? 0;
  }

  get exited(): Promise<ExitCause> {
    return this.child.exited;
  }

  /** Loads every module, or says which one failed. A host that failed to load is of no further use. */
  load(config: HostConfig): Promise<Result<readonly LoadedModule[], { module: string; problem: Problem }>> {
    return this.child.ask({ type: 'load', config }, (message) => {
      if (message.type === 'loaded') return ok(message.modules);
      if (message.type === 'load-failed') return err({ module: message.module, problem: message.problem });
      return undefined;
    });
  }

  /** Runs the module's golden vectors by the path of live requests. */
  prove(module: string, version?: number): Promise<Result<Proof, Problem>> {
    return this.child.ask({ type: 'prove', module, version }, (message) => {
      if (message.type !== 'proved' || message.module !== module || message.version !== version) return undefined;
      const { vectors, slowestMs, memoryBytes = 0, problem } = message;
      return problem === undefined ? ok({ vectors, slowestMs, memoryBytes }) : err(problem);
    });
  }

  /**
   * Resolves once the host accepts connections on the handle.
   *
   * @throws AppError `port.taken` when somebody else listens there, although we could bind it
   */
  listen(handle: SendHandle): Promise<void> {
    return this.listenAs('listen', 'listening', handle);
  }

  /** The same for gRPC; one after the other, as both fail alike. */
  listenGrpc(handle: SendHandle): Promise<void> {
    return this.listenAs('listen-grpc', 'listening-grpc', handle);
  }

  private async listenAs(
    type: 'listen' | 'listen-grpc',
    done: 'listening' | 'listening-grpc',
    handle: SendHandle,
  ): Promise<void> {
    const problem = await this.child.ask(
      { type },
      (message) => {
        if (message.type === done) return 'none' as const;
        return message.type === 'listen-failed' ? message.problem : undefined;
      },
      handle,
    );
    if (problem !== 'none') throw new AppError(problem.code, problem.message, { details: problem.details ?? {} });
  }

  /** New provenance for every answer from now on. A host that is gone does not need it. */
  labels(labels: Readonly<Record<string, string>>): void {
    this.child.send({ type: 'labels', labels }).catch(ignoreGone);
  }

  /** Resolves once no request is answered by the rules before. */
  async access(access: HostAccess): Promise<void> {
    await this.child.ask({ type: 'access', access }, (message) => (message.type === 'access-set' ? true : undefined));
  }

  /**
   * Replaces the rules of traffic, all at once.
   *
   * @throws AppError `config.invalid` for rules that the host cannot keep: the old ones stay
   */
  async traffic(traffic: HostTraffic): Promise<void> {
    const problem = await this.child.ask({ type: 'traffic', traffic }, (message) =>
      message.type === 'traffic-set' ? (message.problem ?? ('none' as const)) : undefined,
    );
    if (problem !== 'none') throw new AppError(problem.code, problem.message, { details: problem.details ?? {} });
  }

  /** What was counted since the last time that it was asked. */
  stats(): Promise<HostStats> {
    return this.child.ask({ type: 'stats' }, statsIn);
  }

  /**
   * Accepts nothing new and answers what is under way, however long that takes; then it stays loaded, and may
   * listen again, even before this resolves.
   *
   * @returns what was counted since the last time
   * @throws AppError `process.failed`
   */
  pause(): Promise<HostStats> {
    return this.child.ask({ type: 'pause' }, (message) =>
      message.type === 'paused' ? { modules: message.modules, rssBytes: message.rssBytes } : undefined,
    );
  }

  /**
   * Answers what is under way, accepts nothing new, ends. Kills after the timeout.
   *
   * @returns the last stats; none of a host that ended without giving them
   */
  async drain(timeoutMs: number): Promise<{ readonly modules: readonly HostModuleStats[] }> {
    const last = this.child.ask({ type: 'drain' }, statsIn);
    const [stats] = await Promise.allSettled([last, this.child.endWithin(timeoutMs)]);
    return stats.status === 'fulfilled' ? { modules: stats.value.modules } : { modules: [] };
  }

  kill(): Promise<void> {
    return this.child.kill();
  }
}

function statsIn(message: FromScoringHost): HostStats | undefined {
  return message.type === 'stats' ? { modules: message.modules, rssBytes: message.rssBytes } : undefined;
}

function ignoreGone(error: unknown): void {
  if (!(error instanceof AppError && error.code === 'process.failed')) throw error;
}
