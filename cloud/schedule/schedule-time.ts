/** When something is to be done: once, or again and again by a cron expression in a time zone. */
import { createTask } from 'node-cron';
import * as z from 'zod';
import { isTimeZone } from '#shared/kernel/time-zone.js';
import { instantSchema } from '#shared/protocol/primitives.js';

/** A little late is on time: a control plane that is upgraded misses nothing. */
export const graceMs = 5 * 60_000;

const missed = z
  .enum(['skip', 'run'])
  .default('skip')
  .describe(
    'what becomes of times at which the control plane was down for more than five minutes: run makes up for one',
  );

export const scheduleWhenSchema = z.union([
  z.strictObject({ at: instantSchema, missed }),
  z
    .strictObject({
      cron: z
        .string()
        .max(120)
        .regex(/^\S+(?:\s+\S+){4}$/, 'must be a cron expression of five fields, such as "0 3 * * 1-5"'),
      timeZone: z.string().max(64).default('UTC').refine(isTimeZone, 'is no time zone, such as Europe/Zurich'),
      missed,
    })
    .refine(({ cron, timeZone }) => timesOf(cron, timeZone, 1).length > 0, {
      path: ['cron'],
      error: 'is no cron expression that ever comes, such as "0 3 * * 1-5"',
    }),
]);
export type ScheduleWhen = z.output<typeof scheduleWhenSchema>;

/** The first time after that instant, which is now or has just been; undefined when none comes. */
export function nextTime(when: ScheduleWhen, afterMs: number): number | undefined {
  if ('at' in when) {
    const at = Date.parse(when.at);
    return at > afterMs ? at : undefined;
  }
  // A timer that ran ahead of the clock by a moment would be given the time that has just been once more.
  const times = timesOf(when.cron, when.timeZone, 2);
  return times.find((at) => at > afterMs) ?? times.at(-1);
}

export interface Due {
  readonly fires: boolean;
  readonly nextAt: number | undefined;
}

/** What becomes of a time that has come. However many were missed, at most one is made up for. */
export function judgeDue(when: ScheduleWhen, dueAt: number, now: number): Due {
  return { fires: now - dueAt <= graceMs || when.missed === 'run', nextAt: nextTime(when, Math.max(now, dueAt)) };
}

/** From now on. Empty where it is no expression, or comes never. */
function timesOf(cron: string, timezone: string, count: number): number[] {
  if (!isTimeZone(timezone)) return [];
  try {
    const task = createTask(cron, () => undefined, { timezone });
    const times = task.getNextRuns(count).map((at) => at.getTime());
    void task.destroy();
    return times;
  } catch {
    return [];
  }
}
