import * as z from 'zod';
import { instantSchema, nameSchema } from '#shared/protocol/primitives.js';
import { queryText } from './common.js';

/** A time in which rollouts ask nobody, or nobody of these devices, for anything new. */
export const freezeCreate = z.strictObject({
  name: nameSchema,
  from: instantSchema,
  until: instantSchema,
  /** Which devices; absent: all. */
  where: queryText.optional(),
  reason: z.string().max(1024).default(''),
});

export const freezeBody = z.object({
  name: nameSchema,
  from: instantSchema,
  until: instantSchema,
  where: z.string().optional(),
  reason: z.string(),
  createdAt: instantSchema,
  createdBy: z.string(),
});
export type FreezeBody = z.output<typeof freezeBody>;
