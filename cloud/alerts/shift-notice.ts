/** What is told of a shift of traffic by the rules that ask for it: one notice a transition and rule. Pure. */
import type { ShiftRule } from './alert-rule.js';

/** What can befall a shift, as rules name it: the kinds of entries of its history. */
export const shiftHappenings = [
  'started',
  /** It gets copies, or more traffic. */
  'step',
  /** A gate cannot decide. */
  'held',
  'paused',
  'resumed',
  'succeeded',
  'returned',
  'aborted',
  'overtaken',
] as const;
export type ShiftHappening = (typeof shiftHappenings)[number];

/** What somebody should look at. */
const troubling: ReadonlySet<ShiftHappening> = new Set(['held', 'paused', 'returned', 'aborted', 'overtaken']);

export interface ShiftNotice {
  /** The same however often it is delivered. */
  readonly id: string;
  readonly type: `shift.${ShiftHappening}`;
  readonly at: string;
  readonly workspace: string;
  readonly rule: string;
  readonly severity: ShiftRule['severity'];
  readonly endpoint: string;
  readonly shift: number;
  /** The deployment that is to answer everything. */
  readonly deployment: string;
  readonly state: string;
  /** Percent by deployment, after it. */
  readonly traffic: Readonly<Record<string, number>>;
  readonly reason?: { readonly code: string; readonly text: string };
  readonly summary: string;
}

/** @param kind of an entry of its history; undefined for what no rule can ask for */
export function shiftHappeningOf(kind: string): ShiftHappening | undefined {
  return shiftHappenings.find((one) => one === kind);
}

export function asksForShift(rule: ShiftRule, happening: ShiftHappening, endpoint: string): boolean {
  const { shift, endpoint: only } = rule;
  return (shift === 'any' || shift.includes(happening)) && (only === undefined || only === endpoint);
}

export function isTroublingShift(type: string): boolean {
  return type.startsWith('shift.') && troubling.has(type.slice('shift.'.length) as ShiftHappening);
}
