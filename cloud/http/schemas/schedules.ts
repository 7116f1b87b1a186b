import * as z from 'zod';
import { isTimeZone } from '#shared/kernel/time-zone.js';
import { cronSchema } from '#shared/protocol/maintenance-window.js';
import { instantSchema, nameSchema } from '#shared/protocol/primitives.js';
import { commandJobCreate } from './commands.js';

const missed = z
  .enum(['skip', 'run'])
  .default('skip')
  .describe(
    'what becomes of times at which the control plane was down for more than five minutes: run makes up for one',
  );

export const scheduleWhen = z.union([
  z.strictObject({ at: instantSchema, missed }),
  z.strictObject({
    cron: cronSchema,
    timeZone: z.string().max(64).default('UTC').refine(isTimeZone, 'is no time zone, such as Europe/Zurich'),
    missed,
  }),
]);
export type ScheduleWhen = z.output<typeof scheduleWhen>;

/** As it is told: of one that an earlier version took, the expression may be none that is taken now. */
const toldWhen = z.union([
  z.object({ at: instantSchema, missed }),
  z.object({ cron: z.string(), timeZone: z.string(), missed }),
]);

export const scheduleCreate = z.strictObject({
  name: nameSchema,
  when: scheduleWhen,
  /** What is begun; by whom is whoever makes the schedule. */
  command: commandJobCreate,
});

export const scheduleBody = z.object({
  name: nameSchema,
  kind: z.string(),
  when: toldWhen,
  action: z.json(),
  /** Absent: never again. */
  nextAt: instantSchema.optional(),
  lastAt: instantSchema.optional(),
  last: z.object({ outcome: z.enum(['begun', 'missed', 'failed']), text: z.string() }).optional(),
  createdAt: instantSchema,
  createdBy: z.string(),
});
export type ScheduleBody = z.output<typeof scheduleBody>;
