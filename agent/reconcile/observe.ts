/**
 * How what happened changes what is observed: a pure reducer. Facts carry the version they are about;
 * one about a version that is no longer wanted, or that the transition table does not allow, changes
 * nothing: a late answer of a cancelled download must not move its successor.
 */
import { errorRegistry, type Problem } from '#shared/kernel/errors.js';
import type { Desired, ImageReference } from '#shared/protocol/desired.js';
import {
  entry,
  type Exit,
  type Observed,
  type ProcessObservation,
  type Track,
  type VersionKey,
  versionKeyOf,
} from '#agent/reconcile/observed.js';
import type { AtTrack, Fact, Rejection } from '#agent/reconcile/fact.js';
import { type TrackEvent, transition } from '#agent/reconcile/track-state.js';

/** When, by the monotonic clock, and the random number of this moment. */
export interface Moment {
  readonly at: number;
  readonly random: number;
}

/** Failures that the same version meets again wherever it is tried. */
export function isPermanent(problem: Problem): boolean {
  return errorRegistry[problem.code].retry === 'never';
}

export function observe(observed: Observed, fact: Fact, moment: Moment): Observed {
  switch (fact.kind) {
    case 'desiredAccepted':
      return acceptDesired(observed, fact.desired, fact.rejections, moment);
    case 'fetchStarted':
      return move(observed, fact, 'fetchStarted', moment, clearProblem);
    case 'fetchProgressed':
      return changeTrack(observed, fact, (track) =>
        track.state === 'fetching' ? { ...track, progress: fact.progress } : track,
      );
    case 'staged':
      return move(observed, fact, 'staged', moment);
    case 'versionFailed': {
      const event = isPermanent(fact.problem) ? 'rejected' : 'failed';
      return move(observed, fact, event, moment, (track) => ({
        ...track,
        attempts: track.attempts + 1,
        problem: fact.problem,
      }));
    }
    case 'fetchCancelled':
      return changeTrack(observed, fact, () => undefined);
    case 'versionLost':
      return move(observed, fact, 'lost', moment);
    case 'servingStarting':
      return withServing(observed, {
        host: { state: 'starting', since: moment.at, exits: exitsOf(observed.serving.host) },
      });
    case 'servingStarted':
      return withServing(observed, {
        host: { state: 'running', exits: exitsOf(observed.serving.host) },
        scripts: mapScripts(fact.scripts, observed, (before) => ({
          state: 'running',
          exits: before === undefined ? [] : exitsOf(before),
        })),
      });
    case 'servingLost':
      return loseServed(observed, fact.module, moment);
    case 'hostExited':
      return withServing(observed, { host: exited(observed.serving.host, fact, moment) });
    case 'scriptStarting':
      return changeScript(observed, fact.module, (before) => ({
        state: 'starting',
        since: moment.at,
        exits: exitsOf(before),
      }));
    case 'scriptStarted':
      return changeScript(observed, fact.module, (before) => ({ state: 'running', exits: exitsOf(before) }));
    case 'scriptExited':
      return changeScript(observed, fact.module, (before) => exited(before, fact, moment));
    case 'gaveUp': {
      const stopped = (before: ProcessObservation): ProcessObservation => ({
        state: 'stopped',
        exits: exitsOf(before),
        reason: fact.reason,
      });
      if (fact.process === 'host') return withServing(observed, { host: stopped(observed.serving.host) });
      return changeScript(observed, fact.process.script, stopped);
    }
    case 'restartAsked':
      return askRestart(observed, fact.module);
    case 'candidateStarting':
      return { ...observed, candidate: { set: fact.set, state: 'starting', since: moment.at } };
    case 'candidateLoaded':
      if (observed.candidate === undefined) return observed;
      return { ...observed, candidate: { ...observed.candidate, state: 'loaded' } };
    case 'candidateGone':
      return dropCandidate(observed, moment);
    case 'provingStarted': {
      if (observed.candidate === undefined) return observed;
      const proving = { module: fact.track, since: moment.at };
      return move({ ...observed, candidate: { ...observed.candidate, proving } }, fact, 'provingStarted', moment);
    }
    case 'proved':
      return move(endProving(observed), fact, 'proved', moment);
    case 'switched':
      return switchOver(observed, fact.scripts, moment);
    case 'committed':
      return { ...observed, committed: { generation: fact.generation, set: fact.set } };
    case 'retiredDraining':
      return { ...observed, retiring: false, draining: [...observed.draining, moment.at] };
    case 'retiredDropped':
      // The oldest is the first whose time is up; which one ended makes no other difference.
      return { ...observed, draining: observed.draining.slice(1) };
    case 'linkChanged':
      return { ...observed, linkUp: fact.up };
    case 'garbageChanged':
      return { ...observed, garbageDue: fact.due };
  }
}

/** Tracks of versions still wanted go on; all others begin anew or end. Rejections of older generations lapse. */
function acceptDesired(
  observed: Observed,
  desired: Desired,
  rejections: Readonly<Record<string, Rejection>>,
  moment: Moment,
): Observed {
  const tracks: Record<string, Track> = {};
  for (const [name, module] of Object.entries(desired.modules)) {
    const key = versionKeyOf(module);
    const rejection = entry(rejections, name);
    const fresh: Track =
      rejection?.key === key
        ? { ...newTrack(key, module.image, moment), state: 'rejected', problem: rejection.problem, attempts: 1 }
        : entry(observed.serving.set, name) === key
          ? { ...newTrack(key, module.image, moment), state: 'active' }
          : newTrack(key, module.image, moment);
    const before = entry(observed.tracks, name);
    tracks[name] = before?.key === key && before.state !== 'rejected' ? before : fresh;
  }
  for (const image of desired.prefetch) {
    const before = entry(observed.tracks, image.digest);
    tracks[image.digest] =
      before !== undefined && before.state !== 'rejected' ? before : newTrack(image.digest, image, moment);
  }
  // A download that nothing wants is known until it has ended, so that the plan can cancel it.
  for (const [id, track] of Object.entries(observed.tracks)) {
    if (track.state === 'fetching' && !Object.hasOwn(tracks, id)) tracks[id] = track;
  }
  return forgiveHost({ ...observed, tracks });
}

function newTrack(key: VersionKey, image: ImageReference, moment: Moment): Track {
  return { key, image, state: 'wanted', attempts: 0, since: moment.at, jitter: moment.random };
}

function move(
  observed: Observed,
  at: AtTrack,
  event: TrackEvent,
  moment: Moment,
  change: (track: Track) => Track = (track) => track,
): Observed {
  return changeTrack(observed, at, (track) => {
    const next = transition(track.state, event);
    if (!next.ok) return track;
    return { ...change(track), state: next.value, since: moment.at, jitter: moment.random };
  });
}

function changeTrack(observed: Observed, at: AtTrack, change: (track: Track) => Track | undefined): Observed {
  const track = entry(observed.tracks, at.track);
  if (track === undefined || track.key !== at.key) return observed;
  const next = change(track);
  if (next === undefined) return { ...observed, tracks: without(observed.tracks, at.track) };
  return { ...observed, tracks: { ...observed.tracks, [at.track]: next } };
}

function clearProblem({ problem: _cause, progress: _progress, ...track }: Track): Track {
  return track;
}

function dropCandidate(observed: Observed, moment: Moment): Observed {
  const { candidate, ...rest } = observed;
  if (candidate === undefined) return observed;
  return Object.entries(candidate.set).reduce<Observed>(
    (state, [track, key]) =>
      entry(state.tracks, track)?.state === 'proving' ? move(state, { track, key }, 'setAside', moment) : state,
    rest,
  );
}

function loseServed(observed: Observed, module: string, moment: Moment): Observed {
  const key = entry(observed.serving.set, module);
  if (key === undefined) return observed;
  const state = withServing(observed, {
    set: without(observed.serving.set, module),
    scripts: without(observed.serving.scripts, module),
  });
  return move(state, { track: module, key }, 'lost', moment);
}

/** What was left alone is tried again; a host that runs is replaced by its like. */
function askRestart(observed: Observed, module: string): Observed {
  const { host, scripts } = observed.serving;
  if (host.state === 'running' && entry(scripts, module) === undefined) {
    return withServing(observed, { restartDue: true });
  }
  return forgiveScript(forgiveHost(observed), module);
}

function endProving(observed: Observed): Observed {
  if (observed.candidate === undefined) return observed;
  const { proving: _done, ...candidate } = observed.candidate;
  return { ...observed, candidate };
}

function switchOver(observed: Observed, scripts: readonly string[], moment: Moment): Observed {
  const { candidate, ...rest } = observed;
  if (candidate === undefined) return observed;
  const state: Observed = {
    ...rest,
    serving: {
      set: candidate.set,
      host: { state: 'running', exits: [] },
      restartDue: false,
      scripts: mapScripts(scripts, observed, (before, module) =>
        before !== undefined && entry(observed.serving.set, module) === candidate.set[module]
          ? before
          : { state: 'running', exits: [] },
      ),
    },
    retiring: true,
  };
  return Object.entries(candidate.set).reduce<Observed>(
    (next, [track, key]) =>
      entry(next.tracks, track)?.state === 'active' ? next : move(next, { track, key }, 'activated', moment),
    state,
  );
}

function exited(
  before: ProcessObservation,
  fact: { readonly clean: boolean; readonly reason: string },
  moment: Moment,
): ProcessObservation {
  if (before.state === 'stopped') return before;
  const exit: Exit = { atMs: moment.at, clean: fact.clean };
  // As many as any policy counts.
  return { state: 'down', exits: [...exitsOf(before), exit].slice(-1001), jitter: moment.random, reason: fact.reason };
}

function exitsOf(process: ProcessObservation): readonly Exit[] {
  return process.state === 'absent' ? [] : process.exits;
}

function forgiveHost(observed: Observed): Observed {
  if (observed.serving.host.state !== 'stopped') return observed;
  return withServing(observed, { host: { state: 'absent' } });
}

function forgiveScript(observed: Observed, module: string): Observed {
  if (entry(observed.serving.scripts, module)?.state !== 'stopped') return observed;
  return changeScript(observed, module, () => ({ state: 'absent' }));
}

function withServing(observed: Observed, change: Partial<Observed['serving']>): Observed {
  return { ...observed, serving: { ...observed.serving, ...change } };
}

function changeScript(
  observed: Observed,
  module: string,
  change: (before: ProcessObservation) => ProcessObservation,
): Observed {
  const before = entry(observed.serving.scripts, module);
  if (before === undefined) return observed;
  return withServing(observed, { scripts: { ...observed.serving.scripts, [module]: change(before) } });
}

function mapScripts(
  modules: readonly string[],
  observed: Observed,
  state: (before: ProcessObservation | undefined, module: string) => ProcessObservation,
): Record<string, ProcessObservation> {
  return Object.fromEntries(modules.map((module) => [module, state(entry(observed.serving.scripts, module), module)]));
}

function without<T>(record: Readonly<Record<string, T>>, name: string): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([key]) => key !== name));
}
