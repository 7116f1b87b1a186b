/** What a rollout and its devices are, as data. Instants are milliseconds since the epoch. */
import type { WindowState } from '#shared/protocol/maintenance-window.js';
import type { Problem } from './observe.js';
import type { DeviceShadow } from './shadow/shadow-model.js';

/** Everything but the first three is an end; of these only a rollback leads out. */
export const rolloutStates = [
  'running',
  'paused',
  /** Nothing new; devices under way end, or go back. */
  'ending',
  'succeeded',
  'failed',
  'aborted',
  'rolled-back',
  'superseded',
] as const;
export type RolloutState = (typeof rolloutStates)[number];
export type FinalState = Exclude<RolloutState, 'running' | 'paused' | 'ending'>;

export function isFinal(state: RolloutState): state is FinalState {
  return state !== 'running' && state !== 'paused' && state !== 'ending';
}

export const reasonCodes = [
  'failures',
  'successes',
  'unreachable',
  'nothing-executed',
  'total-timeout',
  'requested',
  'superseded',
  /** A quality gate failed. */
  'gate',
] as const;

/** Why a rollout stands as it does; `text` has the numbers. */
export interface Reason {
  readonly code: (typeof reasonCodes)[number];
  readonly text: string;
  /** Those that failed, by name. */
  readonly gates?: readonly string[] | undefined;
}

export interface Ending {
  readonly as: FinalState;
  /** Which devices go back to what they had: none, those that are changing, all that were touched. */
  readonly returns: 'none' | 'changing' | 'all';
}

export interface Rollout {
  /** Seeds the order of devices. */
  readonly id: string;
  readonly state: RolloutState;
  readonly ending?: Ending | undefined;
  readonly reason?: Reason | undefined;
  /** The wave whose turn it is, from 0; waves before it stay open for devices that come late. */
  readonly wave: number;
  readonly waves: number;
  readonly waveStartedAt: number;
  /** Waves before this one are approved. */
  readonly approvedBefore: number;
  /** From where the total timeout counts: the start, moved by the time that it stood paused. */
  readonly countedFrom: number;
  readonly pausedAt?: number | undefined;
  /** Somebody went on although a threshold was crossed: what had ended before counts no more. */
  readonly acceptedAt?: number | undefined;
  /** When devices were let switch, where the policy wants shadows before; absent: not yet. */
  readonly shadowedAt?: number | undefined;
  /** In an emergency: freeze periods do not hold it. */
  readonly ignoresFreeze?: boolean | undefined;
  /** Devices that a person leads back, whatever becomes of the others. */
  readonly leadBack?: readonly string[] | undefined;
  /** Gates that somebody went on in spite of, in that wave. */
  readonly acceptedGates?: { readonly wave: number; readonly gates: readonly string[] } | undefined;
  /** Causes for which that wave was held, and which were told. */
  readonly toldHolds?: { readonly wave: number; readonly causes: readonly string[] } | undefined;
}

export const standings = [
  'queued',
  'changing',
  'succeeded',
  'failed',
  'unreachable',
  /** Somebody else changed what it should run. */
  'overtaken',
  /** Retired. */
  'gone',
  /** Matches the fleet no more. */
  'left',
  'cancelled',
  'returning',
  'returned',
  'return-failed',
] as const;
export type Standing = (typeof standings)[number];

/** What a device says about what the rollout asks of it. */
export type Observation =
  | { readonly kind: 'there' }
  /** @property opensAt it is ready, and says that it waits for its maintenance window until then */
  | { readonly kind: 'working'; readonly problem?: Problem | undefined; readonly opensAt?: number | undefined }
  | { readonly kind: 'failed'; readonly problem: Problem }
  | { readonly kind: 'overtaken' }
  | { readonly kind: 'gone' };

export interface RolloutDevice {
  readonly device: string;
  readonly wave: number;
  readonly standing: Standing;
  /** Assignments so far. */
  readonly attempts: number;
  readonly assignedAt?: number | undefined;
  readonly retryAt?: number | undefined;
  readonly endedAt?: number | undefined;
  readonly reason?: Problem | undefined;
  /** It has something to go back to: it was assigned. */
  readonly touched: boolean;
  readonly online: boolean;
  /** Since when it is known to be away. */
  readonly offlineSince: number;
  /** Matches the fleet's query now. */
  readonly member: boolean;
  readonly observed: Observation;
  /** While the shadow phase lasts. */
  readonly shadow?: DeviceShadow | undefined;
  /** As it reports it; absent: UTC. */
  readonly timeZone?: string | undefined;
  /** How its maintenance window stands at the moment that is planned; absent: it may change at any time. */
  readonly window?: WindowState | undefined;
  /** A freeze holds it at the moment that is planned. */
  readonly frozen?: { readonly name: string; readonly until: number } | undefined;
  /** It was asked to fetch the release's images beforehand, and has them. */
  readonly prefetch?: 'asked' | 'held' | undefined;
  /** A person leads it back, and it is not asked yet. */
  readonly ledBack?: boolean | undefined;
}

/** A device of the fleet that is not in the rollout yet. */
export interface Joiner {
  readonly device: string;
  /** The rollout that holds it. */
  readonly claimedBy?: string | undefined;
}

/** A device stands otherwise from now on. */
export interface Outcome {
  readonly device: string;
  readonly standing: Standing;
  readonly retryAt?: number | undefined;
  readonly endedAt?: number | undefined;
  readonly reason?: Problem | undefined;
}

export interface Assignment {
  readonly device: string;
  readonly action: 'deploy' | 'return';
}

export type Transition =
  /** Devices may switch from now on. */
  | { readonly kind: 'shadowed'; readonly text: string }
  | { readonly kind: 'advance'; readonly wave: number }
  | { readonly kind: 'pause'; readonly reason: Reason }
  | { readonly kind: 'end'; readonly ending: Ending; readonly reason: Reason }
  | { readonly kind: 'finish'; readonly state: FinalState };

/** The wave is over but for this. */
export interface Hold {
  /** What tells it apart from others of the wave: a gate, or the approval. */
  readonly cause: string;
  /** For people, with the numbers. */
  readonly text: string;
}

/** What follows from how the devices stand. */
export interface Step {
  readonly assignments: readonly Assignment[];
  readonly transition?: Transition | undefined;
  readonly holds?: readonly Hold[] | undefined;
  readonly outcomes?: readonly Outcome[] | undefined;
  /** Devices that begin to shadow. */
  readonly shadowing?: readonly string[] | undefined;
}

export const waitKinds = [
  'device',
  'offline',
  'retry',
  'budget',
  'rate',
  /** Until it opens. */
  'window',
  /** Until its end. */
  'freeze',
  'wave',
  'bake',
  'gate',
  'shadow',
  'approval',
  'paused',
  'claimed',
] as const;

/** What a device that has not ended waits for. */
export interface Wait {
  readonly device: string;
  readonly kind: (typeof waitKinds)[number];
  /** When this ends at the latest by itself; absent only while paused, when no clock runs. */
  readonly until?: number | undefined;
  /** The wave, the other rollout, the device's last problem, what a gate lacks. */
  readonly detail?: string | undefined;
}
