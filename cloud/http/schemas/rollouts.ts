import * as z from 'zod';
import { queryText } from './common.js';
import { instantSchema, nameSchema } from '#shared/protocol/primitives.js';
import { units, verdicts } from '#cloud/rollout/gates/gate-model.js';
import { rolloutPolicySchema } from '#cloud/rollout/policy.js';
import { reasonCodes, rolloutStates, standings, waitKinds } from '#cloud/rollout/rollout-model.js';

export const rolloutPlan = z.strictObject({
  release: z.string().min(1).max(128),
  fleet: nameSchema,
  policy: rolloutPolicySchema.prefault({}),
});

export const rolloutStart = rolloutPlan.extend({
  /** Rollouts that hold devices of the fleet end, instead of standing in the way. */
  supersede: z.boolean().default(false),
  /** In an emergency: freeze periods do not hold it. */
  ignoreFreeze: z.boolean().default(false),
});

const claimBody = z.object({ rollout: z.int(), devices: z.int() });

/** What a start would do now. */
export const rolloutPlanned = z.object({
  release: z.string(),
  fleet: nameSchema,
  devices: z.int(),
  /** At most so many change at once. */
  maxUnavailable: z.int(),
  /** Bytes of the release's images: what a device without any of them fetches. */
  bytesPerDevice: z.int(),
  /** Of all that do not have the release; parts that devices have already are not fetched again. */
  bytesAtMost: z.int(),
  /** If nothing goes wrong. */
  expected: z.object({
    seconds: z.int(),
    /** Median of what devices took before; 60 where none has succeeded yet. */
    deviceSeconds: z.int(),
    /** Of so many devices; 0: assumed. */
    measuredDevices: z.int(),
    /** What may take longer, and is not counted. */
    leftOut: z.array(z.string()),
  }),
  waves: z.array(
    z.object({
      /** From 1. */
      wave: z.int(),
      count: z.int(),
      /** Devices that have the release already. */
      already: z.int(),
      /** Of those with a turn, in order; the first hundred. */
      devices: z.array(nameSchema),
      bakeSeconds: z.int(),
      approval: z.boolean(),
    }),
  ),
  /** Other rollouts that hold devices of the fleet. */
  conflicts: z.array(claimBody),
  /** What the release asks and agents are too old for: how many, and the first hundred. Asked, these devices fail. */
  unsupported: z.array(z.object({ feature: z.string(), count: z.int(), devices: z.array(nameSchema) })),
});
export type RolloutPlanned = z.output<typeof rolloutPlanned>;

export const rolloutBody = z.object({
  number: z.int(),
  release: z.string(),
  fleet: nameSchema,
  state: z.enum(rolloutStates),
  /** While it ends: what it will then be. */
  endsAs: z.string().optional(),
  reason: z
    .object({ code: z.enum(reasonCodes), text: z.string(), gates: z.array(z.string()).readonly().optional() })
    .optional(),
  /** Whose turn it is, from 1. */
  wave: z.int(),
  waves: z.array(z.object({ wave: z.int(), standings: z.partialRecord(z.enum(standings), z.int()) })),
  /** All of it has ended and somebody must approve before the next one. */
  policy: rolloutPolicySchema,
  createdAt: instantSchema,
  createdBy: z.string(),
  updatedAt: instantSchema,
  endedAt: instantSchema.optional(),
});
export type RolloutBody = z.output<typeof rolloutBody>;

export const rolloutWaits = z.object({
  /** How many devices wait for what. */
  counts: z.partialRecord(z.enum(waitKinds), z.int()),
  /** By device; the first thousand. */
  items: z.array(
    z.object({
      device: nameSchema,
      kind: z.enum(waitKinds),
      until: instantSchema.optional(),
      detail: z.string().optional(),
    }),
  ),
  /** Devices that have failed or could not be reached, with the reason; the first hundred. */
  troubled: z.array(
    z.object({ device: nameSchema, standing: z.enum(standings), code: z.string(), message: z.string() }),
  ),
});
export type RolloutWaits = z.output<typeof rolloutWaits>;

export const rolloutOrder = z.discriminatedUnion('order', [
  z.strictObject({ order: z.enum(['pause', 'approve']) }),
  /** `ignoreFreeze`: freeze periods do not hold it from now on. */
  z.strictObject({ order: z.literal('resume'), ignoreFreeze: z.boolean().default(false) }),
  z.strictObject({
    order: z.literal('rollback'),
    /** Only these, and those that the query finds; without both: all. */
    devices: z.array(nameSchema).min(1).max(10_000).optional(),
    where: queryText.optional(),
  }),
  /** `running`: devices under way go back to what they had; else they come to their end. */
  z.strictObject({ order: z.literal('abort'), running: z.boolean().default(false) }),
]);

/** What quality gates say: now of the wave whose turn it is, and of those before what they ended with. */
export const rolloutGates = z.object({
  items: z.array(
    z.object({
      /** From 1. */
      wave: z.int(),
      gate: z.string(),
      kind: z.string(),
      /** What is measured, in a word or two. */
      measure: z.string(),
      /** Empty where it is of the machine. */
      module: z.string(),
      verdict: z.enum(verdicts),
      /** Somebody went on although it failed. */
      accepted: z.boolean(),
      unit: z.enum(units),
      value: z.number().nullable(),
      reference: z.number().nullable(),
      /** The most that the value may be, the reference considered. */
      bound: z.number().nullable(),
      samples: z.int(),
      referenceSamples: z.int().optional(),
      /** Devices that told something, of those that it is about. */
      told: z.int(),
      devices: z.int(),
      /** Why it is undecided. */
      lack: z.object({ what: z.string(), text: z.string(), needed: z.number().optional() }).optional(),
      /** When it was decided by; absent: as it stands now. */
      at: instantSchema.optional(),
    }),
  ),
});
export type RolloutGates = z.output<typeof rolloutGates>;

export const historyBody = z.object({
  at: instantSchema,
  kind: z.string(),
  device: nameSchema.optional(),
  text: z.string(),
});
export type HistoryBody = z.output<typeof historyBody>;
