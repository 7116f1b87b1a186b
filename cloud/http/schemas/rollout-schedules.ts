import * as z from 'zod';
import { isTimeZone } from '#shared/kernel/time-zone.js';
import { cronSchema } from '#shared/protocol/maintenance-window.js';
import { instantSchema, nameSchema } from '#shared/protocol/primitives.js';
import { rolloutPolicySchema } from '#cloud/rollout/policy.js';

export const rolloutScheduleCreate = z
  .strictObject({
    /** name:version, or a name: its newest version at that time. */
    release: z.string().min(1).max(128),
    fleet: nameSchema,
    policy: rolloutPolicySchema.prefault({}),
    supersede: z.boolean().default(false),
    ignoreFreeze: z.boolean().default(false),
    /** Once, at this time. */
    at: instantSchema.optional(),
    /** Or again and again, by the time zone. */
    cron: cronSchema.optional(),
    timeZone: z.string().max(64).refine(isTimeZone, 'is no time zone, such as Europe/Berlin').default('UTC'),
    /** When nobody was there at that time: started so late at the latest, else it is missed. */
    lateSeconds: z
      .int()
      .min(60)
      .max(30 * 86_400)
      .default(3600),
  })
  .refine(({ at, cron }) => (at === undefined) !== (cron === undefined), 'give at or cron, one of them');

export const rolloutScheduleBody = z.object({
  number: z.int(),
  release: z.string(),
  fleet: nameSchema,
  cron: z.string().optional(),
  timeZone: z.string().optional(),
  lateSeconds: z.int(),
  /** Absent: it does not start any more. */
  nextAt: instantSchema.optional(),
  cancelled: z.boolean(),
  last: z.object({ at: instantSchema, rollout: z.int().optional(), text: z.string() }).optional(),
  createdAt: instantSchema,
  createdBy: z.string(),
});
export type RolloutScheduleBody = z.output<typeof rolloutScheduleBody>;
