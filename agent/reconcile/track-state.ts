/**
 * The life of one version of one module on this device, as a transition table. Unlisted pairs are
 * refused with a typed reason, so that a late or doubled event can never move a version where it
 * must not be. Invariant: nothing leads out of `rejected`; only another generation begins anew.
 */
import { err, ok, type Result } from '#shared/kernel/result.js';

export const trackStates = [
  /** Asked for, nothing done yet. */
  'wanted',
  'fetching',
  /** Verified and unpacked on this disk. */
  'staged',
  /** Its golden vectors run in a candidate host. */
  'proving',
  'proved',
  /** Answers requests, watched, with the version before it still loaded. */
  'probation',
  /** Answers requests. */
  'active',
  /** Permanent for this generation. */
  'rejected',
  /** Tried again after a pause. */
  'failed',
] as const;
export type TrackState = (typeof trackStates)[number];

export const trackEvents = [
  'fetchStarted',
  'staged',
  'provingStarted',
  'proved',
  /** It no longer is the candidate, on probation, or what answers, for a reason that was not this version's. */
  'setAside',
  'probationStarted',
  'activated',
  'failed',
  'rejected',
  /** Its bytes on disk turned out not to be what they were. */
  'lost',
] as const;
export type TrackEvent = (typeof trackEvents)[number];

const table: Readonly<Record<TrackState, Readonly<Partial<Record<TrackEvent, TrackState>>>>> = {
  wanted: { fetchStarted: 'fetching', failed: 'failed', rejected: 'rejected' },
  fetching: { staged: 'staged', failed: 'failed', rejected: 'rejected', setAside: 'wanted' },
  staged: {
    provingStarted: 'proving',
    activated: 'active',
    failed: 'failed',
    rejected: 'rejected',
    setAside: 'staged',
    lost: 'wanted',
  },
  proving: { proved: 'proved', failed: 'failed', rejected: 'rejected', setAside: 'staged', lost: 'wanted' },
  proved: {
    probationStarted: 'probation',
    activated: 'active',
    failed: 'failed',
    rejected: 'rejected',
    setAside: 'proved',
    lost: 'wanted',
  },
  probation: { activated: 'active', failed: 'failed', rejected: 'rejected', setAside: 'staged', lost: 'wanted' },
  active: { failed: 'failed', rejected: 'rejected', setAside: 'staged', lost: 'wanted' },
  rejected: {},
  failed: { fetchStarted: 'fetching', rejected: 'rejected', lost: 'wanted' },
};

export interface IllegalTransition {
  readonly kind: 'illegal-transition';
  readonly state: TrackState;
  readonly event: TrackEvent;
}

export function transition(state: TrackState, event: TrackEvent): Result<TrackState, IllegalTransition> {
  const next = table[state][event];
  return next === undefined ? err({ kind: 'illegal-transition', state, event }) : ok(next);
}
