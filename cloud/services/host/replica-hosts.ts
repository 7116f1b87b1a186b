/** The processes of one replica, proved and not yet listening: a scoring host, with the script host of its module. */
import { AppError, type Problem } from '#shared/kernel/errors.js';
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import type { ModuleMetrics } from '#shared/protocol/stream.js';
import { causeText, type ExitCause } from '#shared/supervisor/exit-cause.js';
import type { HostEntries } from '#shared/supervisor/host-entries.js';
import { HostSet } from '#shared/supervisor/host-set.js';
import { moduleMetricsOf } from '#shared/supervisor/module-metrics.js';
import type { Confinement } from '#shared/supervisor/sandbox/confinement.js';
import type { OpenedSandbox } from '#shared/supervisor/sandbox/machine-sandbox.js';
import type { HostStats } from '#shared/supervisor/scoring-host-process.js';

export interface ReplicaHostsPorts {
  readonly entries: Pick<HostEntries, 'scoringHost' | 'scriptHost'>;
  /** For sockets: private, and with a short path. */
  readonly folder: string;
  readonly cores: number;
  readonly maxBodyBytes: number;
  readonly nextId: () => number;
  /** Absent: all of them have what this process has, which is bounded as a whole. */
  readonly bounds?: {
    readonly host: () => Confinement;
    readonly code: Pick<OpenedSandbox, 'sandbox' | 'runFolder'> | undefined;
  };
}

export interface HostsOrder {
  readonly id: string;
  readonly module: {
    readonly name: string;
    readonly version: number;
    readonly digest: string;
    readonly folder: string;
    readonly manifest: ModuleManifest;
  };
  readonly settings: Readonly<Record<string, unknown>>;
  /** Provenance: every answer carries it as `flotilla-*` headers. */
  readonly labels: Readonly<Record<string, string>>;
  /** `HostConfig.collectFolder` of its scoring host. */
  readonly collectFolder: string;
  readonly onLog: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface ReplicaHosts {
  readonly set: HostSet;
  /** Resolves when its scoring host has ended, which ends with its script. */
  readonly ended: Promise<Problem>;
}

/**
 * Resolves once the model is loaded, its script runs and its golden vectors agree.
 *
 * @throws AppError why it does not start; nothing of it is left then
 */
export async function startHosts(order: HostsOrder, ports: ReplicaHostsPorts): Promise<ReplicaHosts> {
  const { module, labels, collectFolder, onLog, signal } = order;
  if (signal.aborted) throw givenUp();
  const hosts = spawn(order, ports);
  const { set } = hosts;
  const giveUp = (): void => void set.kill(new Set());
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    onLog(`process ${String(set.pid)} starts with ${module.name}:${String(module.version)}`);
    const loaded = await set.load({ labels, maxBodyBytes: ports.maxBodyBytes, collectFolder });
    if (!loaded.ok) throw failureOf(loaded.error.problem);
    for (const model of set.loaded.flatMap(({ models }) => models)) {
      onLog(`model ${model.name} is loaded, and runs on ${model.provider}`);
    }
    if (module.manifest.golden !== undefined) {
      const proved = await set.prove(module.name);
      if (!proved.ok) throw failureOf(proved.error);
      onLog(`answers agree with ${String(proved.value.vectors)} golden vectors`);
    }
    return hosts;
  } catch (error) {
    await set.kill(new Set());
    throw signal.aborted ? givenUp() : error;
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}

function spawn({ id, module, settings, onLog }: HostsOrder, ports: ReplicaHostsPorts): ReplicaHosts {
  let scriptEnd: ExitCause | undefined;
  const set: HostSet = new HostSet([{ ...module, id, settings }], new Map(), {
    entry: ports.entries.scriptHost,
    hostEntry: ports.entries.scoringHost,
    cores: ports.cores,
    ...(ports.bounds === undefined ? {} : { confineHost: ports.bounds.host }),
    runFolder: ports.bounds?.code?.runFolder ?? ports.folder,
    sandbox: ports.bounds?.code?.sandbox,
    maxBodyBytes: ports.maxBodyBytes,
    nextId: ports.nextId,
    onLog: (_module, line) => onLog(line),
    onHostLog: (_modules, line) => onLog(line),
    // A replica is one thing: without its script it answers nobody, so it ends, and is started again whole.
    onExit: (_runner, cause) => {
      scriptEnd = cause;
      onLog(`its script ended: ${causeText(cause)}`);
      void set.kill(new Set());
    },
  });
  const ended = set.exited.then((cause): Problem => {
    const [what, why] = scriptEnd === undefined ? ['process', cause] : ['script', scriptEnd];
    return { code: 'process.failed', message: `its ${what} ended: ${causeText(why)}` };
  });
  return { set, ended };
}

/** What it counted since it was last asked; undefined where it is gone. */
export async function metricsOf(set: HostSet): Promise<ModuleMetrics | undefined> {
  try {
    return metricsIn((await set.stats()).modules);
  } catch (error) {
    if (error instanceof AppError) return undefined;
    throw error;
  }
}

/** A replica is a module: it has counts of no other. */
export function metricsIn([first]: HostStats['modules']): ModuleMetrics | undefined {
  return first && moduleMetricsOf(first);
}

export function failureOf({ code, message, details }: Problem): AppError {
  return new AppError(code, message, { details: details ?? {} });
}

export function givenUp(): AppError {
  return new AppError('request.aborted', 'its start was given up');
}
