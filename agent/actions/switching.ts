/**
 * What the actions do that let another set answer: switch, watch, go back, commit. A verdict of a probation
 * is on disk before the return that it leads to, so that no restart tries the version anew in its generation.
 */
import { AppError, type Problem } from '#shared/kernel/errors.js';
import type { Executors } from '#agent/reconcile/action.js';
import { entry, sameSet, type ServingSet, type VersionKey } from '#agent/reconcile/observed.js';
import type { ExecutorPorts } from '#agent/actions/executors.js';
import { nextCommitted } from '#agent/store/committed-state.js';

export type SwitchingExecutors = Pick<
  Executors,
  'switchSet' | 'sampleProbation' | 'returnSet' | 'commitSet' | 'dropRetired'
>;

export interface CandidateNumber {
  /** A late answer of the candidate so far belongs to none any more. */
  next(): void;
}

export function createSwitching(ports: ExecutorPorts, candidate: CandidateNumber): SwitchingExecutors {
  const { state, versions, serving, background, raise } = ports;

  const drainReplaced = (): void => {
    // It takes as long as its longest request; nothing waits for it.
    state.take({ kind: 'retiredDraining' });
    background.run(async () => {
      await serving.dropReplaced();
      state.take({ kind: 'retiredDropped' });
    });
  };

  const tell = (before: ServingSet, set: ServingSet, watched: readonly string[]): void => {
    for (const [name, key] of Object.entries(set)) {
      if (entry(before, name) === key) continue;
      const { image } = versions.require(name, key);
      const probation = watched.includes(name) ? ', on probation' : '';
      raise({
        level: 'info',
        type: 'module.activated',
        module: name,
        message: `version ${String(image.version)} answers${probation}`,
        details: { digest: image.digest },
      });
    }
    for (const name of Object.keys(before)) {
      if (entry(set, name) === undefined)
        raise({ level: 'info', type: 'module.removed', module: name, message: 'no longer desired' });
    }
  };

  return {
    switchSet: async ({ set, watched }) => {
      if (state.observed.candidate === undefined || !sameSet(state.observed.candidate.set, set)) return;
      const before = state.observed.serving.set;
      // Now: another document may come while the switch goes on.
      const next = versions.of(set);
      const generation = state.desired?.generation ?? 0;
      if (watched.length > 0) await ports.probations.begin(generation, keysOf(set, watched));
      if (!(await serving.switchOver())) return;
      candidate.next();
      versions.keep(next);
      state.take({ kind: 'switched', scripts: serving.scriptsOf('current'), watched });
      if (watched.length > 0) {
        state.take({ kind: 'pausing' });
        background.run(async () => {
          await serving.pauseReplaced();
          state.take({ kind: 'retiredDropped' });
        });
      }
      tell(before, set, watched);
    },

    sampleProbation: async () => {
      const { probation } = state.observed;
      if (probation === undefined) return;
      state.take({ kind: 'probationAsked' });
      background.run(async () => {
        const sample = await serving.sample(probation.watched);
        if (sample !== undefined) state.take({ kind: 'probationSampled', sample });
      });
    },

    returnSet: async ({ set, failed, problem, because }) => {
      const { probation, tracks } = state.observed;
      if (probation === undefined) return;
      const refused = failed.map((name) => {
        const details = { ...entry(tracks, name)?.numbers };
        const why: Problem = { ...(problem ?? { code: 'probation.failed', message: because }), details };
        return { name, key: probation.changed[name] ?? '', problem: why };
      });
      if (refused.length > 0) await recordVerdict(ports, refused);
      const back = versions.of(set);
      const warm = await serving.goBack();
      versions.keep(back);
      // At once: until then what failed accepts beside the one that is back.
      if (warm) drainReplaced();
      for (const { name, key, problem: why } of refused)
        state.take({ kind: 'versionFailed', track: name, key, problem: why });
      const down = warm ? serving.scriptsDown : [];
      state.take({ kind: 'returned', warm, scripts: serving.scriptsOf('current') });
      for (const module of down)
        state.take({ kind: 'scriptExited', module, clean: false, reason: 'it ended while it stood by' });
      for (const name of Object.keys(probation.changed)) {
        const module = entry(back, name);
        const before = module === undefined ? 'nothing' : `version ${String(module.image.version)}`;
        raise({
          level: because === 'failed' ? 'error' : 'info',
          type: 'module.returned',
          module: name,
          message: `${before} answers again: ${problem?.message ?? 'another version is desired'}`,
        });
      }
      await endProbation(ports);
    },

    commitSet: async ({ generation, set }) => {
      if (!sameSet(set, state.observed.serving.set)) return;
      versions.keep(versions.of(set));
      const { tracks, probation } = state.observed;
      const { servedNow } = versions;
      await ports.committed.change((current) => ({
        next: nextCommitted(current, generation, servedNow, tracks),
        answer: undefined,
      }));
      state.take({ kind: 'committed', generation, set });
      serving.relabel();
      state.take({ kind: 'garbageChanged', due: true });
      if (probation === undefined) return;
      for (const module of probation.watched)
        raise({ level: 'info', type: 'module.committed', module, message: 'it passed its probation' });
      await endProbation(ports);
    },

    dropRetired: async () => drainReplaced(),
  };
}

/** A disk that takes no verdict must not keep a bad version answering: then a restart may try it once more. */
async function recordVerdict(
  ports: ExecutorPorts,
  refused: readonly { readonly name: string; readonly key: VersionKey; readonly problem: Problem }[],
): Promise<void> {
  const generation = ports.state.desired?.generation ?? 0;
  try {
    await ports.rejections.record(generation, refused);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    ports.onHeldUp(error);
  }
}

/** Where the disk does not take it, the next probation of another version does away with it. */
async function endProbation({ probations, onHeldUp }: ExecutorPorts): Promise<void> {
  await probations.end().catch(onHeldUp);
}

function keysOf(set: ServingSet, names: readonly string[]): ServingSet {
  return Object.fromEntries(Object.entries(set).filter(([name]) => names.includes(name)));
}
