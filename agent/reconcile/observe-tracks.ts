/** How versions on their way to answer change: the part of the reducer about tracks. */
import { errorRegistry, type Problem } from '#shared/kernel/errors.js';
import { type Desired, type DesiredModule, type ImageReference, updatePolicyOf } from '#shared/protocol/desired.js';
import { entry, type Observed, type Track, type VersionKey, versionKeyOf } from '#agent/reconcile/observed.js';
import type { AtTrack, Rejection } from '#agent/reconcile/fact.js';
import { shadowTrackOf, wantedShadows } from '#agent/reconcile/shadows.js';
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

/** Tracks of versions still wanted go on; all others begin anew or end. Rejections of older generations lapse. */
export function tracksOf(
  observed: Observed,
  desired: Desired,
  rejections: Readonly<Record<string, Rejection>>,
  moment: Moment,
): Record<string, Track> {
  const tracks: Record<string, Track> = {};
  for (const [name, module] of Object.entries(desired.modules)) {
    const before = entry(observed.tracks, name);
    const goesOn = before?.key === versionKeyOf(module) && before.state !== 'rejected';
    const { group: _earlier, ...track } = goesOn ? before : freshTrack(observed, name, module, rejections, moment);
    const group = updatePolicyOf(module).atomic;
    tracks[name] = group === undefined ? track : { ...track, group };
  }
  for (const { module, key, shadow } of wantedShadows(desired)) {
    const id = shadowTrackOf(module);
    const before = entry(observed.tracks, id);
    const goesOn = before?.key === key && before.state !== 'rejected';
    const rejection = entry(rejections, id);
    const fresh = newTrack(key, shadow.image, moment);
    tracks[id] = goesOn ? before : rejection?.key === key ? refused(fresh, rejection.problem) : fresh;
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
  return tracks;
}

function freshTrack(
  observed: Observed,
  name: string,
  module: DesiredModule,
  rejections: Readonly<Record<string, Rejection>>,
  moment: Moment,
): Track {
  const key = versionKeyOf(module);
  const fresh = newTrack(key, module.image, moment);
  const rejection = entry(rejections, name);
  if (rejection?.key === key) return refused(fresh, rejection.problem);
  if (entry(observed.serving.set, name) !== key) {
    const shadow = entry(observed.tracks, shadowTrackOf(name));
    // What was a shadow is on this disk already.
    return shadow?.key === key && shadow.state === 'staged' ? { ...shadow, since: moment.at } : fresh;
  }
  const onProbation = entry(observed.probation?.changed ?? {}, name) === key;
  return { ...fresh, state: onProbation ? 'probation' : 'active' };
}

function refused(track: Track, problem: Problem): Track {
  return { ...track, state: 'rejected', problem, attempts: 1, numbers: numbersIn(problem) };
}

function newTrack(key: VersionKey, image: ImageReference, moment: Moment): Track {
  return { key, image, state: 'wanted', attempts: 0, since: moment.at, jitter: moment.random };
}

/** A version that is refused for good takes those along that were to take over together with it. */
export function failVersion(observed: Observed, at: AtTrack, problem: Problem, moment: Moment): Observed {
  const event: TrackEvent = isPermanent(problem) ? 'rejected' : 'failed';
  const failed = move(observed, at, event, moment, (track) => ({
    ...track,
    attempts: track.attempts + 1,
    problem,
    numbers: { ...track.numbers, ...numbersIn(problem) },
  }));
  const track = entry(failed.tracks, at.track);
  if (event !== 'rejected' || track?.state !== 'rejected' || track.group === undefined) return failed;
  return Object.entries(failed.tracks).reduce<Observed>((state, [name, other]) => {
    if (other.group !== track.group || other.state === 'active' || other.state === 'rejected') return state;
    const message = `${at.track}, with which it was to take over, was refused: ${problem.message}`;
    return move(state, { track: name, key: other.key }, 'rejected', moment, (sibling) => ({
      ...sibling,
      attempts: sibling.attempts + 1,
      problem: { code: 'module.group-rejected', message, details: { because: at.track } },
    }));
  }, failed);
}

export function move(
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

export function changeTrack(observed: Observed, at: AtTrack, change: (track: Track) => Track | undefined): Observed {
  const track = entry(observed.tracks, at.track);
  if (track === undefined || track.key !== at.key) return observed;
  const next = change(track);
  if (next === undefined) return { ...observed, tracks: without(observed.tracks, at.track) };
  return { ...observed, tracks: { ...observed.tracks, [at.track]: next } };
}

export function clearProblem({ problem: _cause, progress: _progress, ...track }: Track): Track {
  return track;
}

export function without<T>(record: Readonly<Record<string, T>>, name: string): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([key]) => key !== name));
}

/** Numbers that a problem carries among its details. */
function numbersIn({ details }: Problem): Record<string, number> {
  return Object.fromEntries(
    Object.entries(details ?? {}).filter((pair): pair is [string, number] => typeof pair[1] === 'number'),
  );
}
