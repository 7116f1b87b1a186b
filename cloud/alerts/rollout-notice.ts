/** What is told of a rollout by the rules that ask for it: one notice a transition and rule. Pure. */
import type { RolloutRule } from './alert-rule.js';

/** What can befall a rollout, as rules name it. */
export const happenings = [
  'started',
  'wave',
  /** A gate cannot decide, or somebody is to approve. */
  'held',
  'paused',
  'resumed',
  'approved',
  'ending',
  'succeeded',
  'failed',
  'aborted',
  'rolled-back',
  'superseded',
] as const;
export type Happening = (typeof happenings)[number];

/** Kinds of entries of its history that have another name there. */
const byKind: Readonly<Record<string, Happening>> = {
  pause: 'paused',
  resume: 'resumed',
  approve: 'approved',
  abort: 'ending',
  rollback: 'ending',
};

/** What somebody should look at. */
const troubling: ReadonlySet<Happening> = new Set(['held', 'paused', 'ending', 'failed', 'aborted', 'rolled-back']);

export interface RolloutNotice {
  /** The same however often it is delivered. */
  readonly id: string;
  readonly type: `rollout.${Happening}`;
  readonly at: string;
  readonly workspace: string;
  readonly rule: string;
  readonly severity: RolloutRule['severity'];
  readonly rollout: number;
  /** As name:version. */
  readonly release: string;
  readonly fleet: string;
  readonly state: string;
  /** Whose turn it is, from 1. */
  readonly wave: number;
  readonly waves: number;
  readonly reason?: { readonly code: string; readonly text: string };
  readonly summary: string;
}

/** @param kind of an entry of its history; undefined for what no rule can ask for */
export function happeningOf(kind: string): Happening | undefined {
  return byKind[kind] ?? happenings.find((one) => one === kind);
}

export function asksFor(
  { rollout, fleet }: RolloutRule,
  happening: Happening,
  of: { readonly fleet: string },
): boolean {
  return (rollout === 'any' || rollout.includes(happening)) && (fleet === undefined || fleet === of.fleet);
}

export function isTroubling(type: string): boolean {
  return troubling.has(type.replace(/^rollout\./, '') as Happening);
}
