import * as z from 'zod';
import { instantSchema, nameSchema } from '#shared/protocol/primitives.js';
import { scheduleWhenSchema } from '#cloud/schedule/schedule-time.js';
import { commandJobCreate } from './commands.js';

export const scheduleCreate = z.strictObject({
  name: nameSchema,
  when: scheduleWhenSchema,
  /** What is begun; by whom is whoever makes the schedule. */
  command: commandJobCreate,
});

export const scheduleBody = z.object({
  name: nameSchema,
  kind: z.string(),
  when: scheduleWhenSchema,
  action: z.json(),
  /** Absent: never again. */
  nextAt: instantSchema.optional(),
  lastAt: instantSchema.optional(),
  last: z.object({ outcome: z.enum(['begun', 'missed', 'failed']), text: z.string() }).optional(),
  createdAt: instantSchema,
  createdBy: z.string(),
});
export type ScheduleBody = z.output<typeof scheduleBody>;
