/**
 * How what happened changes what is observed: a pure reducer. Facts carry the version they are about;
 * one about a version that is no longer wanted, or that the transition table does not allow, changes
 * nothing: a late answer of a cancelled download must not move its successor.
 */
import type { Desired } from '#shared/protocol/desired.js';
import { entry, type Observed, type ProcessObservation } from '#agent/reconcile/observed.js';
import type { Fact, Rejection } from '#agent/reconcile/fact.js';
import {
  askRestart,
  changeScript,
  committed,
  crashedOnProbation,
  exited,
  exitsOf,
  forgiveHost,
  loseServed,
  mapScripts,
  returned,
  switchOver,
  withServing,
} from '#agent/reconcile/observe-serving.js';
import { observeShadow } from '#agent/reconcile/observe-shadows.js';
import {
  changeTrack,
  clearProblem,
  failVersion,
  type Moment,
  move,
  tracksOf,
  without,
} from '#agent/reconcile/observe-tracks.js';
import { probationEvidence } from '#agent/reconcile/probation-evidence.js';
import { probationNumbers } from '#shared/supervisor/probation.js';

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
      return move(observed, fact, 'staged', moment, (track) => ({ ...track, readyAt: track.readyAt ?? moment.at }));
    case 'versionFailed':
      return failVersion(observed, fact, fact.problem, moment);
    case 'fetchCancelled':
      // It may be wanted again since; if not, the next document forgets it.
      return move(observed, fact, 'setAside', moment, clearProblem);
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
    case 'hostExited': {
      const state = crashedOnProbation(observed, undefined, fact.reason);
      return withServing(state, { host: exited(observed.serving.host, fact, moment) });
    }
    case 'scriptStarting':
      return changeScript(observed, fact.module, (before) => ({
        state: 'starting',
        since: moment.at,
        exits: exitsOf(before),
      }));
    case 'scriptStarted':
      return changeScript(observed, fact.module, (before) => ({ state: 'running', exits: exitsOf(before) }));
    case 'scriptExited': {
      const state = crashedOnProbation(observed, fact.module, fact.reason);
      return changeScript(state, fact.module, (before) => exited(before, fact, moment));
    }
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
      return move(endProving(observed), fact, 'proved', moment, (track) => ({
        ...track,
        numbers: { ...track.numbers, ...fact.numbers },
      }));
    case 'switched':
      return switchOver(observed, fact.scripts, fact.watched, moment);
    case 'probationAsked':
      if (observed.probation === undefined) return observed;
      return { ...observed, probation: { ...observed.probation, askedAt: moment.at } };
    case 'probationSampled':
      return sampleProbation(observed, fact.sample);
    case 'returned':
      return returned(observed, fact.warm, fact.scripts, moment);
    case 'committed':
      return committed(observed, fact.generation, fact.set, moment);
    case 'retiredDraining':
      return { ...observed, retiring: false, draining: [...observed.draining, moment.at] };
    case 'pausing':
      return { ...observed, draining: [...observed.draining, moment.at] };
    case 'retiredDropped':
      // The oldest is the first whose time is up; which one ended makes no other difference.
      return { ...observed, draining: observed.draining.slice(1) };
    case 'deferred':
      return defer(observed, fact, moment);
    case 'shadowStarting':
    case 'shadowRunning':
    case 'shadowMirrored':
    case 'shadowExited':
    case 'shadowCounted':
    case 'shadowGone':
      return observeShadow(observed, fact, moment);
    case 'linkChanged':
      return { ...observed, linkUp: fact.up };
    case 'garbageChanged':
      return { ...observed, garbageDue: fact.due };
  }
}

function acceptDesired(
  observed: Observed,
  desired: Desired,
  rejections: Readonly<Record<string, Rejection>>,
  moment: Moment,
): Observed {
  const tracks = tracksOf(observed, desired, rejections, moment);
  return forgiveHost({ ...observed, tracks, acceptedAt: moment.at });
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

function endProving(observed: Observed): Observed {
  if (observed.candidate === undefined) return observed;
  const { proving: _done, ...candidate } = observed.candidate;
  return { ...observed, candidate };
}

/** A sample that was asked for before this probation began says nothing about it. */
function sampleProbation(observed: Observed, sample: Extract<Fact, { kind: 'probationSampled' }>['sample']): Observed {
  const { probation } = observed;
  if (probation === undefined || sample.at < probation.since) return observed;
  const { askedAt: _answered, ...rest } = probation;
  const next = { ...rest, sample };
  return Object.entries(probation.changed).reduce<Observed>(
    (state, [track, key]) =>
      changeTrack(state, { track, key }, (before) => ({
        ...before,
        numbers: {
          ...before.numbers,
          ...probationNumbers(
            probationEvidence(next, () => undefined),
            track,
          ),
        },
      })),
    { ...observed, probation: next },
  );
}

function defer(
  observed: Observed,
  { module, until, reason }: Extract<Fact, { kind: 'deferred' }>,
  moment: Moment,
): Observed {
  if (until <= moment.at) {
    if (entry(observed.deferrals, module) === undefined) return observed;
    return { ...observed, deferrals: without(observed.deferrals, module) };
  }
  return { ...observed, deferrals: { ...observed.deferrals, [module]: { until, reason } } };
}
