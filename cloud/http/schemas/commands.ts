import * as z from 'zod';
import { instantSchema, nameSchema } from '#shared/protocol/primitives.js';
import { commandStandings, jobOperations, jobStates } from '#cloud/commands/command-model.js';
import { pageQuery, queryText } from './common.js';

export const commandJobCreate = z
  .strictObject({
    operation: z.enum(jobOperations),
    arguments: z.record(z.string(), z.json()).default({}),
    /** A saved fleet; or a query. */
    fleet: nameSchema.optional(),
    where: queryText.optional(),
    /** So many devices are at work at one time. */
    concurrency: z.int().min(1).max(500).default(50),
    /** How long one device may take. */
    timeoutSeconds: z.int().min(1).max(600).default(30),
    /** How long all of it may take: who is away until then is unreachable. */
    deadlineSeconds: z
      .int()
      .min(1)
      .max(7 * 86_400)
      .default(60),
  })
  .refine(({ fleet, where }) => (fleet === undefined) !== (where === undefined), 'give either fleet or where');
export type CommandJobCreate = z.output<typeof commandJobCreate>;

export const commandJobBody = z.object({
  number: z.int(),
  operation: z.enum(jobOperations),
  fleet: nameSchema.optional(),
  where: z.string(),
  state: z.enum(jobStates),
  devices: z.int(),
  /** How many devices stand how. */
  standings: z.partialRecord(z.enum(commandStandings), z.int()),
  concurrency: z.int(),
  timeoutSeconds: z.number(),
  deadline: instantSchema,
  /** That began it, if one did. */
  schedule: nameSchema.optional(),
  createdAt: instantSchema,
  createdBy: z.string(),
  endedAt: instantSchema.optional(),
});
export type CommandJobBody = z.output<typeof commandJobBody>;

export const commandDevicesQuery = pageQuery.extend({ standing: z.enum(commandStandings).optional() });

export const commandDeviceBody = z.object({
  device: nameSchema,
  standing: z.enum(commandStandings),
  /** From when it was sent until it was answered or given up. */
  milliseconds: z.int().optional(),
  answer: z.json().optional(),
  problem: z.object({ code: z.string(), message: z.string() }).optional(),
});
export type CommandDeviceBody = z.output<typeof commandDeviceBody>;
