/** Whether an alert fires or clears: from its rule, what it stood at, and what was measured. Pure. */
import { type EventRule, type MetricRule, secondsOf } from './alert-rule.js';

export interface AlertState {
  readonly state: 'quiet' | 'pending' | 'firing';
  /** Since when the rule holds; epoch milliseconds, like all. */
  readonly sinceMs: number;
  /** When something was last told of it. */
  readonly seenMs: number;
  readonly value: number;
  /** Of the notices that it fires and that it clears. */
  readonly incident: string;
  /** Of an event rule: when its last events came, as many as it counts. */
  readonly recentMs?: readonly number[];
}

export interface Measured {
  readonly value: number | null;
  readonly samples: number;
}

export interface Change {
  readonly kind: 'fired' | 'cleared';
  readonly incident: string;
  readonly value: number;
  readonly sinceMs: number;
  readonly reason?: 'no data';
}

export interface Decision {
  /** Undefined: there is nothing to remember. */
  readonly next: AlertState | undefined;
  readonly change?: Change;
}

/** Without a word for this long, and for the rule's own span, what fires is over: its device or version is gone. */
const silenceMs = 15 * 60_000;

/** @param incident an id for it, should it fire */
export function decideMetric(
  rule: MetricRule,
  before: AlertState | undefined,
  measured: Measured | undefined,
  nowMs: number,
  incident: string,
): Decision {
  const value = measured !== undefined && measured.samples >= rule.atLeast ? measured.value : null;
  if (value === null) return withoutData(rule, before, nowMs);
  if (before?.state === 'firing') {
    if (!isOver(rule, value)) return { next: { ...before, value, seenMs: nowMs } };
    return { next: undefined, change: { kind: 'cleared', incident: before.incident, value, sinceMs: before.sinceMs } };
  }
  if (!holds(rule, value)) return { next: undefined };
  const sinceMs = before?.sinceMs ?? nowMs;
  const state = nowMs - sinceMs >= secondsOf(rule.for) * 1000 ? 'firing' : 'pending';
  const next: AlertState = { state, sinceMs, seenMs: nowMs, value, incident: before?.incident ?? incident };
  if (state === 'pending') return { next };
  return { next, change: { kind: 'fired', incident: next.incident, value, sinceMs } };
}

function withoutData(rule: MetricRule, before: AlertState | undefined, nowMs: number): Decision {
  if (before?.state !== 'firing') return { next: undefined };
  if (nowMs - before.seenMs <= Math.max(silenceMs, secondsOf(rule.over) * 1000)) return { next: before };
  const { incident, value, sinceMs } = before;
  return { next: undefined, change: { kind: 'cleared', incident, value, sinceMs, reason: 'no data' } };
}

function holds({ above, below }: MetricRule, value: number): boolean {
  return above === undefined ? below !== undefined && value < below : value > above;
}

function isOver(rule: MetricRule, value: number): boolean {
  const { above, below, clear } = rule;
  if (above !== undefined) return value <= (clear ?? above);
  return below !== undefined && value >= (clear ?? below);
}

/** @param atMs when its new events came, in order */
export function decideEvents(
  rule: EventRule,
  before: AlertState | undefined,
  atMs: readonly number[],
  nowMs: number,
  incident: string,
): Decision {
  const overMs = secondsOf(rule.over) * 1000;
  const recentMs = [...(before?.recentMs ?? []), ...atMs].slice(-rule.count);
  const last = recentMs.at(-1);
  const first = recentMs[0];
  if (last === undefined || first === undefined) return { next: undefined };
  const quiet = nowMs - last >= overMs;
  if (before?.state === 'firing') {
    if (!quiet) return { next: { ...before, recentMs, seenMs: last } };
    const { value, sinceMs } = before;
    return { next: undefined, change: { kind: 'cleared', incident: before.incident, value, sinceMs } };
  }
  // What came while nobody judged, and is long over, is told all the same: it fires now, and clears with the next look.
  const fires = recentMs.length >= rule.count && last - first < overMs && (atMs.length > 0 || !quiet);
  if (!fires) {
    const next: AlertState = {
      state: 'quiet',
      sinceMs: first,
      seenMs: last,
      value: recentMs.length,
      incident,
      recentMs,
    };
    return { next: quiet ? undefined : next };
  }
  const value = recentMs.length;
  return {
    next: { state: 'firing', sinceMs: first, seenMs: last, value, incident, recentMs },
    change: { kind: 'fired', incident, value, sinceMs: first },
  };
}

export function matches(
  { event, level, device, module }: EventRule,
  seen: { readonly type: string; readonly level: string; readonly device: string; readonly module?: string },
): boolean {
  const typeFits = event.endsWith('*') ? seen.type.startsWith(event.slice(0, -1)) : seen.type === event;
  return (
    typeFits &&
    (level === undefined || seen.level === level) &&
    (device === undefined || seen.device === device) &&
    (module === undefined || seen.module === module)
  );
}
