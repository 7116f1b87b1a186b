/** What a shift of an endpoint's traffic is, as data. Instants are milliseconds since the epoch. */
import type { Comparison } from '#shared/protocol/comparison.js';
import type { Mirror, Traffic } from '../control/endpoint-model.js';
import type { ShiftPolicy, ShiftStep } from './shift-policy.js';

/** Everything but the first two is an end. */
export const shiftStates = [
  'running',
  'paused',
  /** It answers everything, and every gate has passed. */
  'succeeded',
  /** All is as it was before: it was worse, was not ready, or took too long. */
  'returned',
  /** The same, by order of a person. */
  'aborted',
  /** Somebody changed the endpoint meanwhile: what they set stands. */
  'overtaken',
] as const;
export type ShiftState = (typeof shiftStates)[number];
export type ShiftEnd = Exclude<ShiftState, 'running' | 'paused'>;

export function isOver(state: ShiftState): state is ShiftEnd {
  return state !== 'running' && state !== 'paused';
}

export const shiftReasonCodes = ['gate', 'not-ready', 'total-timeout', 'requested', 'overtaken'] as const;

/** Why a shift stands as it does; `text` has the numbers. */
export interface ShiftReason {
  readonly code: (typeof shiftReasonCodes)[number];
  readonly text: string;
  /** Those that failed, by name. */
  readonly gates?: readonly string[] | undefined;
}

/** A deployment that a shift is about, as it was when the shift began. */
export interface ShiftMember {
  readonly deployment: string;
  readonly revision: number;
  /** The name of its module, under which telemetry tells of it. */
  readonly module: string;
  readonly version: number;
  readonly digest: string;
}

/** Who answers how much, and who gets copies. */
export interface Weights {
  readonly traffic: Traffic;
  readonly mirror?: Mirror | undefined;
}

export interface Shift {
  readonly state: ShiftState;
  readonly reason?: ShiftReason | undefined;
  readonly target: ShiftMember;
  /** Those that had traffic before, by name. */
  readonly others: readonly ShiftMember[];
  /** Where a return leads. */
  readonly before: Weights;
  /** As the shift has set it last: what differs from it, somebody else did. */
  readonly set: Weights;
  /** Of {@link stagesOf}; -1 until the target is ready for the first. */
  readonly stage: number;
  readonly startedAt: number;
  readonly stageStartedAt: number;
  /** From where the total timeout counts: the start, moved by the time that it stood paused. */
  readonly countedFrom: number;
  readonly pausedAt?: number | undefined;
  /** Gates that somebody went on in spite of, in that stage. */
  readonly acceptedGates?: { readonly stage: number; readonly gates: readonly string[] } | undefined;
  /** Causes for which that stage was held, and which were told. */
  readonly toldHolds?: { readonly stage: number; readonly causes: readonly string[] } | undefined;
}

export type Stage =
  | { readonly kind: 'mirror'; readonly percent: number; readonly bakeSeconds: number; readonly compare: Comparison }
  | ({ readonly kind: 'step' } & ShiftStep);

/** What a shift goes through, in order. */
export function stagesOf({ mirror, steps }: Pick<ShiftPolicy, 'mirror' | 'steps'>): readonly Stage[] {
  const copies: Stage[] =
    mirror === undefined
      ? []
      : [{ kind: 'mirror', percent: mirror.percent, bakeSeconds: mirror.seconds, compare: mirror.compare }];
  return [...copies, ...steps.map((step): Stage => ({ kind: 'step', ...step }))];
}

/** How the target stands, by what the service host says. */
export type Readiness =
  | { readonly kind: 'ready' }
  /** @property since when it has not been ready, as far as anybody looked */
  | { readonly kind: 'waiting'; readonly text: string; readonly since: number; readonly unhealthy: boolean }
  | { readonly kind: 'failed'; readonly text: string }
  /** The service host cannot be asked, or has not taken the newest document: nothing is known. */
  | { readonly kind: 'unknown'; readonly text: string };

export interface PresentDeployment {
  readonly name: string;
  readonly revision: number;
  /** It is to have no replicas, whatever the load. */
  readonly empty: boolean;
}

/** The endpoint as it is now; undefined: it was deleted. */
export type Present =
  | {
      readonly weights: Weights;
      readonly deployments: readonly PresentDeployment[];
    }
  | undefined;

export type ShiftTransition =
  | { readonly kind: 'advance'; readonly stage: number; readonly weights: Weights; readonly text: string }
  | { readonly kind: 'pause'; readonly reason: ShiftReason }
  | {
      readonly kind: 'return';
      readonly as: 'returned' | 'aborted';
      readonly weights: Weights;
      readonly reason: ShiftReason;
    }
  | { readonly kind: 'finish' }
  | { readonly kind: 'overtaken'; readonly reason: ShiftReason };

export const shiftWaitKinds = ['ready', 'bake', 'gate', 'mirror', 'paused'] as const;

/** What an open shift waits for. */
export interface ShiftWait {
  readonly kind: (typeof shiftWaitKinds)[number];
  /** When this ends at the latest by itself; absent while paused, when no clock runs. */
  readonly until?: number | undefined;
  readonly text: string;
}

/** What holds a stage that is over but for it. */
export interface ShiftHold {
  readonly cause: string;
  readonly text: string;
}
