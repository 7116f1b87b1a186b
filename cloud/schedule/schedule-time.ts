/** When something is to be done: once, or again and again by a cron expression in a time zone. Pure. */
import { nextTime as nextOfCron } from '#shared/protocol/maintenance-window.js';

/** An instant, or an expression that {@link nextOfCron} knows. */
export type ScheduleTime = { readonly at: string } | { readonly cron: string; readonly timeZone: string };

/** The first time after an instant, in epoch milliseconds; undefined when none comes. */
export function nextTime(when: ScheduleTime, afterMs: number): number | undefined {
  const next = 'at' in when ? Date.parse(when.at) : nextOfKnown(when.cron, when.timeZone, afterMs);
  return next > afterMs && Number.isFinite(next) ? next : undefined;
}

/** What an earlier calendar took and this one does not comes no more. */
function nextOfKnown(cron: string, timeZone: string, afterMs: number): number {
  try {
    return nextOfCron(cron, timeZone, afterMs);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** By what a time that has come is judged. */
export interface Punctuality {
  readonly when: ScheduleTime;
  /** Begun so late at the latest; absent: however late. */
  readonly lateSeconds?: number | undefined;
}

export interface Due {
  readonly begins: boolean;
  readonly nextAt: number | undefined;
}

/** What becomes of a time that has come. However many were missed, at most one is made up for. */
export function judgeDue(
  { when, lateSeconds = Number.POSITIVE_INFINITY }: Punctuality,
  dueAt: number,
  now: number,
): Due {
  return { begins: now - dueAt <= lateSeconds * 1000, nextAt: nextTime(when, Math.max(now, dueAt)) };
}
