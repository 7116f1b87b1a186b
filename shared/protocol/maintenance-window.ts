/**
 * When a device may change what answers: it opens at the times of a cron expression, each time for so long, in the
 * device's time zone unless it names one. Pure but for the time zones that this Node knows.
 */
import { Cron } from 'croner';
import * as z from 'zod';
import { isTimeZone } from '#shared/kernel/time-zone.js';

/** Fields alone: no nicknames, seconds, years or dates. */
const fiveFields = /^\s*(?:[\w*,/#?-]+\s+){4}[\w*,/#?-]+\s*$/;
const notCron = 'is no cron expression of five fields that ever comes, such as "0 2 * * 1-5"';

/** Minute, hour, day of the month, month, day of the week. */
export const cronSchema = z
  .string()
  .max(128)
  .regex(fiveFields, { error: notCron })
  .refine(comesEver, { error: notCron });

export const maintenanceWindowSchema = z.strictObject({
  cron: cronSchema,
  durationSeconds: z
    .int()
    .min(60)
    .max(7 * 86_400),
  /** Absent: that of the device. */
  timeZone: z.string().max(64).refine(isTimeZone, { error: 'is no time zone, such as Europe/Berlin' }).optional(),
});
export type MaintenanceWindow = z.output<typeof maintenanceWindowSchema>;

/** Several: one that is open is enough. */
export const windowsSchema = z.array(maintenanceWindowSchema).min(1).max(16);

/** Instants are milliseconds since the epoch. */
export type WindowState =
  /** @property since from when on one window or another was open without a gap */
  { readonly open: true; readonly since: number } | { readonly open: false; readonly opensAt: number };

/** Openings that follow each other without a gap are followed back so far; what is longer counts from there. */
const linkedAtMost = 100;

/** @param zone where the device is; one that nobody knows counts as UTC */
export function windowsAt(windows: readonly MaintenanceWindow[], zone: string, at: number): WindowState {
  const timers = windows.map((window) => timerOf(window, zone));
  let since = openedAt(timers, at);
  if (since === undefined) {
    return { open: false, opensAt: Math.min(...timers.map(({ next }) => next(at))) };
  }
  for (let linked = 0; linked < linkedAtMost; linked++) {
    const before = openedAt(timers, since - 1);
    if (before === undefined) break;
    since = before;
  }
  return { open: true, since };
}

/** The first time of an expression after an instant; infinite where there is none. */
export function nextTime(cron: string, zone: string, after: number): number {
  return nextRun(patternOf(cron, zone), after);
}

interface Timer {
  /** The first opening after an instant. */
  readonly next: (after: number) => number;
  readonly durationMs: number;
}

function timerOf({ cron, durationSeconds, timeZone }: MaintenanceWindow, zone: string): Timer {
  const pattern = patternOf(cron, timeZone ?? (isTimeZone(zone) ? zone : 'UTC'));
  return {
    durationMs: durationSeconds * 1000,
    next: (after) => nextRun(pattern, after),
  };
}

const minuteMs = 60_000;
/** Hours that clocks repeat are not longer. */
const repeatedMinutes = 180;
/** Hours that clocks skip are not longer. */
const skippedMs = 120 * minuteMs;
/** What comes more often has a time of its own soon after a gap. */
const stepsOverGap = 8;

/** The first time after an instant, of the days too on which clocks change, where croner needs to be led. */
function nextRun(pattern: Cron, after: number): number {
  return shiftedRun(pattern, after) ?? laterRun(pattern, after);
}

/** Asked from within the hour after a gap, croner no longer knows the times that the gap has shifted there. */
function shiftedRun(pattern: Cron, after: number): number | undefined {
  let from = after - skippedMs;
  for (let step = 0; step < stepsOverGap; step++) {
    const next = pattern.nextRun(new Date(from))?.getTime();
    if (next === undefined || next <= from) return undefined;
    if (next > after) return next;
    from = next;
  }
  return undefined;
}

/** In an hour that the clocks repeat, croner answers with the same time in the first of the two, which is over. */
function laterRun(pattern: Cron, after: number): number {
  for (let minute = 0; minute <= repeatedMinutes; minute++) {
    const next = pattern.nextRun(new Date(after + minute * minuteMs));
    if (next === null) break;
    if (next.getTime() > after) return next.getTime();
  }
  return Number.POSITIVE_INFINITY;
}

/** The earliest opening that still lasts. */
function openedAt(timers: readonly Timer[], at: number): number | undefined {
  const openings = timers.map(({ next, durationMs }) => next(at - durationMs)).filter((opening) => opening <= at);
  return openings.length === 0 ? undefined : Math.min(...openings);
}

/** Without a function it sets no timer. UTC needs no calendar, which is dear. */
function patternOf(cron: string, timezone: string): Cron {
  const zone = timezone === 'UTC' ? { utcOffset: 0 } : { timezone };
  return new Cron(cron, { ...zone, mode: '5-part', paused: true });
}

function comesEver(cron: string): boolean {
  try {
    return patternOf(cron, 'UTC').nextRun(new Date(0)) !== null;
  } catch {
    return false;
  }
}
