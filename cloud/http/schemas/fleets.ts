import * as z from 'zod';
import { instantSchema, nameSchema } from '#shared/protocol/primitives.js';
import { queryText } from './common.js';

const description = z.string().max(4096);

/** A saved query: its members are the devices that match it at the moment somebody asks. */
export const fleetBody = z.object({
  name: nameSchema,
  workspace: nameSchema,
  description,
  /** As it was written. */
  where: z.string(),
  createdAt: instantSchema,
  updatedAt: instantSchema,
});
export type FleetBody = z.infer<typeof fleetBody>;

export const fleetCreate = z.strictObject({ name: nameSchema, where: queryText, description: description.default('') });

export const fleetPatch = z
  .strictObject({ where: queryText.optional(), description: description.optional() })
  .refine(({ where, description: text }) => where !== undefined || text !== undefined, 'give where or description');

export const deviceCount = z.object({
  /** Devices in service that match, and how many of them are connected. */
  count: z.int(),
  online: z.int(),
  /** How it was understood, every property by its whole name. */
  query: z.string(),
  /** What looks like a mistake. */
  notes: z.array(z.string()),
});

/** One fleet with what `device-count` says of its query. */
export const fleetCounted = fleetBody.extend({ members: deviceCount });
