/**
 * What each action does. Whatever takes long is begun here and tells its end as a fact; the rest is
 * done when the call returns. Executors check that what they were told still stands, and decide
 * nothing else.
 */
import { dependentsOf } from '#shared/kernel/start-order.js';
import { AppError, messageOf, type Problem, toProblem } from '#shared/kernel/errors.js';
import type { DeviceEvent } from '#shared/protocol/stream.js';
import type { Executors } from '#agent/reconcile/action.js';
import type { DeviceState } from '#agent/reconcile/device-state.js';
import { entry, type ServingSet, type VersionKey } from '#agent/reconcile/observed.js';
import type { Background } from '#agent/actions/background.js';
import type { Fetcher } from '#agent/actions/fetcher.js';
import type { KnownVersions } from '#agent/actions/versions.js';
import type { LoadFailure } from '#shared/supervisor/host-set.js';
import { hasScript } from '#shared/supervisor/served-module.js';
import type { ModuleVersion } from '#agent/serving/module-version.js';
import type { Serving } from '#agent/serving/serving.js';
import { createShadowing } from '#agent/actions/shadowing.js';
import { createSwitching } from '#agent/actions/switching.js';
import type { CommittedState } from '#agent/store/committed-state.js';
import type { ImageStore } from '#agent/store/image-store.js';
import type { ProbationJournal } from '#agent/store/probation-journal.js';
import type { RejectionLog } from '#agent/store/rejection-log.js';

/** What actions do with the processes that answer. */
export interface Hosts
  extends Pick<
    Serving,
    | ('start' | 'startScript' | 'scriptsOf' | 'scriptsDown' | 'prepare' | 'prove' | 'discardCandidate' | 'relabel')
    | ('switchOver' | 'pauseReplaced' | 'goBack' | 'sample' | 'dropReplaced')
  > {
  readonly shadows: Pick<Serving['shadows'], 'start' | 'mirror' | 'stop'>;
}

/** What actions do with what was fetched. */
export interface Images extends Pick<ImageStore, 'openStaged' | 'readModule' | 'folderOf'> {
  /** All that is neither desired, nor committed, nor kept for a return goes. */
  collectGarbage(): Promise<void>;
}

export interface ExecutorPorts {
  readonly state: DeviceState;
  readonly versions: KnownVersions;
  readonly fetcher: Pick<Fetcher, 'start' | 'cancel'>;
  readonly serving: Hosts;
  readonly images: Images;
  readonly committed: Pick<CommittedState, 'change'>;
  readonly rejections: Pick<RejectionLog, 'record'>;
  readonly probations: Pick<ProbationJournal, 'begin' | 'end'>;
  readonly background: Background;
  readonly raise: (event: Omit<DeviceEvent, 'at'>) => void;
  readonly pause: (ms: number) => Promise<void>;
  /** Something is not on disk, and what it was for goes on without. */
  readonly onHeldUp: (error: unknown) => void;
  /** Resolves once the bounds of user code are tried out. */
  readonly sandboxReady: () => Promise<void>;
}

const blamelessPauseMs = 2_000;

export interface DeviceExecutors {
  readonly table: Executors;
  /** The candidate host ended while nobody waited for an answer of it. */
  candidateExited(reason: string): void;
  /** A person asks for a module to be started anew. */
  restart(module: string): Promise<void>;
}

export function createExecutors(ports: ExecutorPorts): DeviceExecutors {
  const { state, fetcher, serving, background, raise } = ports;
  /** Which candidate a late answer belongs to. */
  let candidateNumber = 0;

  const fail = (track: string, key: VersionKey, problem: Problem): void =>
    state.take({ kind: 'versionFailed', track, key, problem });

  /** Versions of the candidate that the incumbent does not have; those that a failure may be blamed on. */
  const changedIn = (set: ServingSet): [string, VersionKey][] =>
    Object.entries(set).filter(([name, key]) => entry(state.observed.serving.set, name) !== key);

  const blame = async (set: ServingSet, failure: LoadFailure): Promise<void> => {
    const changed = changedIn(set);
    const guilty = changed.filter(([name]) => name === failure.module);
    const blamed = guilty.length > 0 ? guilty : changed;
    for (const [name, key] of blamed) fail(name, key, failure.problem);
    if (blamed.length > 0) return;
    raise({ level: 'error', type: 'serving.failed', message: failure.problem.message });
    await ports.pause(blamelessPauseMs);
    await serving.discardCandidate();
    state.take({ kind: 'candidateGone' });
  };

  const startScript = (module: string): void => {
    state.take({ kind: 'scriptStarting', module });
    background.run(async () => {
      const started = await serving.startScript(module).catch((error: unknown) => {
        if (!(error instanceof AppError)) throw error;
        return { ok: false as const, error: toProblem(error) };
      });
      if (started?.ok === true) state.take({ kind: 'scriptStarted', module });
      else {
        const reason = started?.error.message ?? 'its scoring host is gone';
        state.take({ kind: 'scriptExited', module, clean: false, reason });
      }
    });
  };

  const table: Executors = {
    startFetch: async ({ track, key, image }) => {
      state.take({ kind: 'fetchStarted', track, key });
      fetcher.start(track, key, image, !track.startsWith('sha256:'));
    },

    cancelFetch: async ({ track }) => {
      const key = entry(state.observed.tracks, track)?.key;
      await fetcher.cancel(track);
      if (key !== undefined) state.take({ kind: 'fetchCancelled', track, key });
    },

    startServing: async ({ set }) => {
      const opened = await openSet(set, ports, (image) => ports.images.openStaged(image));
      const startAfter = Object.fromEntries(
        Object.entries(set).map(([name, key]) => [name, ports.versions.require(name, key).startAfter ?? []]),
      );
      // Those that start after it wait for it, as long as they may.
      const lose = (module: string): void => {
        for (const name of [module, ...dependentsOf(startAfter, module)]) {
          state.take({ kind: 'servingLost', module: name });
        }
      };
      for (const name of opened.lost) {
        raise({
          level: 'error',
          type: 'module.damaged',
          module: name,
          message: 'its bytes on this disk are damaged; it is fetched again',
        });
        lose(name);
      }
      if (opened.lost.length > 0) return;
      state.take({ kind: 'servingStarting' });
      background.run(async () => {
        if (opened.versions.some(hasScript)) await ports.sandboxReady();
        const started = await serving.start(opened.versions);
        if (started.ok) {
          state.take({ kind: 'servingStarted', scripts: serving.scriptsOf('current') });
          return;
        }
        const { module, problem } = started.error;
        if (problem.code === 'request.aborted') return;
        const key = module === undefined ? undefined : entry(set, module);
        if (module !== undefined && key !== undefined) {
          lose(module);
          fail(module, key, problem);
        }
        state.take({ kind: 'hostExited', clean: false, reason: problem.message });
      });
    },

    startScript: async ({ module }) => startScript(module),

    giveUp: async ({ process, reason }) => {
      state.take({ kind: 'gaveUp', process, reason });
      const module = process === 'host' ? {} : { module: process.script };
      raise({ level: 'error', type: 'module.stopped', ...module, message: reason });
    },

    prepareSet: async ({ set }) => {
      const opened = await openSet(set, ports, (image) => ports.images.readModule(image));
      for (const name of opened.lost) {
        const key = entry(set, name);
        if (key !== undefined) state.take({ kind: 'versionLost', track: name, key });
      }
      if (opened.lost.length > 0) return;
      candidateNumber += 1;
      const mine = candidateNumber;
      state.take({ kind: 'candidateStarting', set });
      background.run(async () => {
        await ports.sandboxReady();
        const loaded = await serving.prepare(opened.versions);
        if (mine !== candidateNumber) return;
        if (loaded.ok) state.take({ kind: 'candidateLoaded' });
        else await blame(set, loaded.error);
      });
    },

    discardCandidate: async ({ failed, problem, because }) => {
      candidateNumber += 1;
      const { candidate } = state.observed;
      await serving.discardCandidate();
      for (const name of failed) {
        const key = candidate === undefined ? undefined : entry(candidate.set, name);
        if (key !== undefined) fail(name, key, problem ?? { code: 'process.failed', message: because });
      }
      state.take({ kind: 'candidateGone' });
    },

    prove: async ({ module, key }) => {
      const mine = candidateNumber;
      state.take({ kind: 'provingStarted', track: module, key });
      background.run(async () => {
        const proved = await serving.prove(module);
        if (mine !== candidateNumber) return;
        if (!proved.ok) {
          fail(module, key, proved.error);
          return;
        }
        raise({
          level: 'info',
          type: 'module.proved',
          module,
          message: `${String(proved.value.vectors)} golden vectors agree`,
          details: proved.value.numbers,
        });
        state.take({ kind: 'proved', track: module, key, numbers: proved.value.numbers });
      });
    },

    ...createSwitching(ports, {
      next: () => {
        candidateNumber += 1;
      },
    }),

    ...createShadowing(ports),

    collectGarbage: async () => {
      await ports.images.collectGarbage();
      state.take({ kind: 'garbageChanged', due: false });
    },
  };

  return {
    table,
    candidateExited: (reason) => {
      const { candidate } = state.observed;
      // While it loads or proves, the one that asked it learns of its end.
      if (candidate === undefined || candidate.state === 'starting' || candidate.proving !== undefined) return;
      background.run(() =>
        blame(candidate.set, { module: undefined, problem: { code: 'process.failed', message: reason } }),
      );
    },
    restart: async (module) => {
      state.take({ kind: 'restartAsked', module });
      if (entry(state.observed.serving.scripts, module)?.state === 'running') startScript(module);
    },
  };
}

async function openSet(
  set: ServingSet,
  { versions, images }: ExecutorPorts,
  open: (image: string) => Promise<ModuleVersion['manifest'] | undefined>,
): Promise<{ readonly versions: ModuleVersion[]; readonly lost: string[] }> {
  const found: ModuleVersion[] = [];
  const lost: string[] = [];
  for (const [name, key] of Object.entries(set)) {
    const desired = versions.require(name, key);
    const manifest = await open(desired.image.digest).catch((error: unknown) => {
      if (error instanceof AppError || messageOf(error).startsWith('ENOENT')) return undefined;
      throw error;
    });
    if (manifest === undefined) lost.push(name);
    else found.push({ name, key, desired, manifest, folder: images.folderOf(desired.image.digest) });
  }
  return { versions: found, lost };
}
