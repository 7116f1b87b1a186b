import * as z from 'zod';
import { pageQuery } from './common.js';
import { instantSchema, nameSchema, problemSchema } from '#shared/protocol/primitives.js';

const activityStates = ['not-started', 'running', 'succeeded', 'failed', 'cancelled'] as const;

export const activityBody = z.object({
  id: z.string(),
  workspace: nameSchema,
  /** For example model.register, image.register. */
  kind: z.string(),
  state: z.enum(activityStates),
  /** What it works on, for example digits:1. */
  subject: z.string(),
  createdAt: instantSchema,
  startedAt: instantSchema.optional(),
  endedAt: instantSchema.optional(),
  /** URL path of what it made. */
  resource: z.string().optional(),
  problem: problemSchema.optional(),
});
export type ActivityBody = z.infer<typeof activityBody>;
/** The oldest line first; `next` is there where more lines are. */
export const activityLog = z.object({
  lines: z.array(z.object({ at: instantSchema, text: z.string() })),
  next: z.string().optional(),
});
export const activityLogQuery = pageQuery.extend({ limit: pageQuery.shape.limit.removeDefault().default(500) });
