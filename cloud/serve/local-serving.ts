/**
 * The scoring host that devices run, over local modules: started, replaced without dropping a request,
 * and started again when it ends by itself. One change at a time.
 */
import { backoffMs, type BackoffPolicy } from '#shared/kernel/backoff.js';
import type { Clock } from '#shared/kernel/clock.js';
import { AppError, type Problem } from '#shared/kernel/errors.js';
import type { Random } from '#shared/kernel/ids.js';
import type { LoadedModule } from '#shared/scoring/host-protocol.js';
import { causeText } from '#shared/supervisor/exit-cause.js';
import type { HostEntries } from '#shared/supervisor/host-entries.js';
import { HostSet, type HostSetPorts, type HostSettings, type ListenHandles } from '#shared/supervisor/host-set.js';
import type { ScriptRunner } from '#shared/supervisor/script-runner.js';
import type { LocalModule } from './local-module.js';

export interface LocalServingPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly entries: HostEntries;
  readonly handles: ListenHandles;
  readonly runFolder: string;
  readonly cores: number;
  readonly nextId: () => number;
  /** Prove golden vectors before a set takes requests. */
  readonly prove: boolean;
  readonly drainMs: number;
  /** Something happened that nobody asked for. */
  readonly onTrouble: (text: string) => void;
  readonly onLog: (modules: readonly string[], line: string) => void;
}

export interface ServedVersion {
  readonly module: LocalModule;
  readonly loaded: LoadedModule | undefined;
  /** Golden vectors that agreed; undefined where none were run. */
  readonly proved: number | undefined;
}

const backoff: BackoffPolicy = { baseMs: 500, maxMs: 30_000 };
/** A host that ran this long did not fail for what it was started with. */
const stableMs = 60_000;

export class LocalServing {
  private current: HostSet | undefined;
  private starting: HostSet | undefined;
  private modules: readonly LocalModule[] = [];
  private settings: HostSettings = { labels: {}, maxBodyBytes: 0 };
  private readonly stopping = new AbortController();
  private turn: Promise<unknown> = Promise.resolve();
  /** Ends and failed starts in a row. */
  private failures = 0;

  constructor(private readonly ports: LocalServingPorts) {}

  /**
   * Serves these from now on. What answered before goes on until they can, and for good when they cannot.
   *
   * @throws AppError what keeps them from being served
   */
  serve(modules: readonly LocalModule[], settings: HostSettings): Promise<ServedVersion[]> {
    return this.inTurn(async () => {
      const served = await this.bringUp(modules, settings);
      this.modules = modules;
      this.settings = settings;
      return served;
    });
  }

  /** Takes nothing new, answers what is under way, ends. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.starting?.kill(new Set());
    await this.turn.catch(() => undefined);
    const { current } = this;
    this.current = undefined;
    await current?.drain(this.ports.drainMs, new Set());
  }

  private inTurn<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.turn.catch(() => undefined).then(act);
    this.turn = turn;
    return turn;
  }

  private async bringUp(modules: readonly LocalModule[], settings: HostSettings): Promise<ServedVersion[]> {
    const before = this.current;
    if (this.stopping.signal.aborted) throw new AppError('request.aborted', 'stopped while it was starting');
    const set = new HostSet(modules, before?.scripts ?? new Map(), this.setPorts(settings));
    this.starting = set;
    try {
      const loaded = await set.load(settings);
      if (!loaded.ok) throw failureOf(loaded.error.module, loaded.error.problem);
      const served: ServedVersion[] = [];
      for (const [index, module] of modules.entries()) {
        served.push({ module, loaded: set.loaded[index], proved: await this.prove(set, module) });
      }
      await set.listen(this.ports.handles);
      this.current = set;
      this.starting = undefined;
      this.watch(set);
      await before?.drain(this.ports.drainMs, new Set(set.scripts.values()));
      return served;
    } catch (error) {
      this.starting = undefined;
      await set.kill(new Set(before?.scripts.values() ?? []));
      throw error;
    }
  }

  private async prove(set: HostSet, { name, version, manifest }: LocalModule): Promise<number | undefined> {
    if (!this.ports.prove || manifest.golden === undefined) return undefined;
    const proved = await set.prove(name, version);
    if (proved.ok) return proved.value.vectors;
    throw failureOf(`${name}:${String(version)}`, proved.error);
  }

  private watch(set: HostSet): void {
    const startedAt = this.ports.clock.monotonic();
    void set.exited.then((cause) => {
      if (this.current !== set || this.stopping.signal.aborted) return;
      this.ports.onTrouble(`the scoring host ended: ${causeText(cause)}`);
      if (this.ports.clock.monotonic() - startedAt > stableMs) this.failures = 0;
      void this.restart(set);
    });
  }

  /** Until it serves again, or something else does. */
  private async restart(gone: HostSet): Promise<void> {
    for (;;) {
      this.failures += 1;
      const pauseMs = backoffMs(this.failures, backoff, this.ports.random());
      this.ports.onTrouble(`starting it again in ${(pauseMs / 1000).toFixed(1)} s; until then connections wait`);
      await this.ports.clock.sleep(pauseMs, this.stopping.signal);
      if (this.current !== gone || this.stopping.signal.aborted) return;
      try {
        await this.inTurn(async () => {
          if (this.current === gone) await this.bringUp(this.modules, this.settings);
        });
        this.ports.onTrouble('the scoring host serves again');
        return;
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        if (this.stopping.signal.aborted) return;
        this.ports.onTrouble(`it cannot be started: ${error.message}`);
      }
    }
  }

  private async restartScript(runner: ScriptRunner): Promise<void> {
    const isServed = (): boolean =>
      this.current?.scripts.get(runner.module.id) === runner && !this.stopping.signal.aborted;
    for (let attempt = 1; ; attempt++) {
      const pauseMs = backoffMs(attempt, backoff, this.ports.random());
      this.ports.onTrouble(`starting the script of ${runner.module.name} again in ${(pauseMs / 1000).toFixed(1)} s`);
      await this.ports.clock.sleep(pauseMs, this.stopping.signal);
      if (!isServed()) return;
      const started = await this.inTurn(async () => (isServed() ? runner.start() : undefined));
      if (started === undefined) return;
      if (started.ok) {
        this.ports.onTrouble(`the script of ${runner.module.name} answers again`);
        return;
      }
      this.ports.onTrouble(`it cannot be started: ${started.error.message}`);
    }
  }

  private setPorts({ maxBodyBytes }: HostSettings): HostSetPorts {
    const { ports } = this;
    return {
      entry: ports.entries.scriptHost,
      hostEntry: ports.entries.scoringHost,
      cores: ports.cores,
      runFolder: ports.runFolder,
      maxBodyBytes,
      nextId: ports.nextId,
      onLog: (module, line) => ports.onLog([module], line),
      onHostLog: ports.onLog,
      onExit: (runner, cause) => {
        if (this.current?.scripts.get(runner.module.id) !== runner || this.stopping.signal.aborted) return;
        ports.onTrouble(`the script of ${runner.module.name} ended: ${causeText(cause)}`);
        void this.restartScript(runner);
      },
    };
  }
}

function failureOf(module: string | undefined, { code, message, details }: Problem): AppError {
  return new AppError(code, module === undefined ? message : `${module}: ${message}`, { details: details ?? {} });
}
