/** Makes host sets of one device: what all of them are told, and what is theirs alone. */
import type { Emission } from '#shared/scoring/host-protocol.js';
import type { EarlyHost } from '#shared/supervisor/early-host.js';
import type { ExitCause } from '#shared/supervisor/exit-cause.js';
import type { HostEntries } from '#shared/supervisor/host-entries.js';
import { HostSet, type HostSettings } from '#shared/supervisor/host-set.js';
import type { Dropped } from '#shared/supervisor/log-budget.js';
import type { ScriptRunner } from '#shared/supervisor/script-runner.js';
import { hasScript, type ServedModule } from '#shared/supervisor/served-module.js';
import type { HostEnvironment } from '#agent/providers/loader-environment.js';
import type { MachineSandbox } from '#shared/supervisor/sandbox/machine-sandbox.js';

export interface SpawnPorts {
  readonly entries: HostEntries;
  readonly hostEnvironment: HostEnvironment;
  /** Loads its program while the agent starts. */
  readonly earlyHost?: EarlyHost | undefined;
  /** Is ready before a set with user code is started or prepared. */
  readonly sandbox: Pick<MachineSandbox, 'confineHost' | 'tried'>;
  readonly cores: number;
  readonly settings: Omit<HostSettings, 'labels'>;
  readonly onLog: (modules: readonly string[], line: string) => void;
  /** A module wrote more lines than are kept. */
  readonly onLogDropped: (module: string, dropped: Dropped) => void;
}

/** What befalls the scripts of a set. */
export interface SetEvents {
  readonly onScriptExit: (runner: ScriptRunner, cause: ExitCause) => void;
  readonly onEmission: (runner: ScriptRunner, emission: Emission) => void;
  readonly onDefer: (runner: ScriptRunner, forMs: number, reason: string) => void;
}

export class SetSpawner {
  private ids = 0;

  constructor(private readonly ports: SpawnPorts) {}

  /** Tells one set's sockets from another's. */
  nextId(): number {
    this.ids += 1;
    return this.ids;
  }

  /** @param existing script processes that may be shared */
  spawn(modules: readonly ServedModule[], existing: ReadonlyMap<string, ScriptRunner>, events: SetEvents): HostSet {
    const { ports } = this;
    const tried = modules.some(hasScript) ? ports.sandbox.tried : undefined;
    return new HostSet(modules, existing, {
      entry: ports.entries.scriptHost,
      hostEntry: ports.entries.scoringHost,
      hostEnvironment: ports.hostEnvironment,
      earlyHost: ports.earlyHost,
      confineHost: () => ports.sandbox.confineHost(),
      // Asked for where there is user code, which is refused or bounded, never neither.
      runFolder: tried?.runFolder ?? '',
      sandbox: tried?.sandbox,
      cores: ports.cores,
      maxBodyBytes: ports.settings.maxBodyBytes,
      nextId: () => this.nextId(),
      onLog: (module, line) => ports.onLog([module], line),
      onLogDropped: ports.onLogDropped,
      onHostLog: ports.onLog,
      onExit: events.onScriptExit,
      onEmission: events.onEmission,
      onDefer: events.onDefer,
    });
  }
}
