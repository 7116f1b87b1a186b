/** What a person asks of a rollout: how fast, how many at once, when to go on and when to stop. Strict. */
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { windowsSchema } from '#shared/protocol/maintenance-window.js';
import { checkGates, gatesSchema } from './gates/gate-kinds.js';
import { shadowGates } from './shadow/shadow-verdicts.js';
import { rolloutShadowSchema } from './shadow/shadow-policy.js';
import { parseQuery } from '#cloud/fleet/query/parse-query.js';

const daySeconds = 86_400;
const seconds = z
  .int()
  .min(0)
  .max(30 * daySeconds);
const percent = z.number().min(0).max(100);

/** With a zone, or it would be another time on another machine. */
const instantText = z.iso.datetime({
  offset: true,
  error: 'is no time with a zone, such as 2026-12-24T00:00:00Z',
});

/** What the design knows of rollouts and nobody built yet. */
const notBuilt = (what: string): z.ZodOptional<z.ZodNever> =>
  z.never({ error: `${what} not built yet; leave it out` }).optional();

const watched = {
  /** How long to watch after its last device, before it counts as done. */
  bakeSeconds: seconds.default(0),
  /** Somebody must approve before the next wave. */
  approval: z.boolean().default(false),
};

export const waveSchema = z.union(
  [
    /** First wave only: the devices of the fleet that this query finds, as in docs/fleets.md. */
    z.strictObject({ where: z.string().min(1).max(2048), ...watched }),
    /** With it and the waves before, so many of a hundred devices have had their turn. */
    z.strictObject({ percent, ...watched }),
    z.strictObject({ count: z.int().min(1).max(1_000_000), ...watched }),
  ],
  {
    error:
      'is no wave; give one of where (a query), percent (0 to 100) and count (1 or more), with bakeSeconds and approval',
  },
);
export const waveFields = ['where', 'percent', 'count', ...Object.keys(watched)];

export interface WaveSize {
  readonly where?: string | undefined;
  readonly percent?: number | undefined;
  readonly count?: number | undefined;
}

const retrySchema = z.strictObject({
  /** After the first attempt. */
  attempts: z.int().min(0).max(20),
  /** Before the first of them; doubled each time. */
  backoffSeconds: z.int().min(0).max(daySeconds).default(60),
});
export type Retry = z.output<typeof retrySchema>;

const noRetry = { attempts: 0, backoffSeconds: 60 };

export const rolloutPolicySchema = z.strictObject({
  /** In order; what they leave of the fleet is a last wave. */
  waves: z
    .array(waveSchema)
    .max(500)
    .default([
      { count: 1, bakeSeconds: 0, approval: false },
      { percent: 10, bakeSeconds: 0, approval: false },
    ]),
  /** At most so many devices, or such a share of all, are changing at once. */
  maxUnavailable: z
    .union([
      z.int().min(1).max(1_000_000),
      z.string().regex(/^(100|[1-9]?[0-9])%$/, 'write a number or for example 25%'),
    ])
    .default('25%'),
  /** How fast devices are taken within a wave; absent: as fast as maxUnavailable lets them. */
  rate: z
    .strictObject({
      perMinute: z.int().min(1).max(100_000),
      /** Times as fast after every so many devices that succeeded. */
      factor: z.number().min(1).max(10).default(1),
      everySucceeded: z.int().min(1).max(1_000_000).default(10),
      maxPerMinute: z.int().min(1).max(100_000).default(1000),
    })
    .optional(),
  /** Of the devices of a wave that succeeded or failed. */
  success: z.strictObject({ minPercent: percent.default(90) }).prefault({}),
  failure: z
    .strictObject({
      /** More than that, once so many have succeeded or failed (or all of a smaller wave). */
      maxPercent: percent.default(10),
      minExecuted: z.int().min(1).max(1_000_000).default(10),
    })
    .prefault({}),
  /** Devices that are away when it is their turn. */
  unreachable: z.strictObject({ afterSeconds: seconds.default(3600), maxPercent: percent.default(100) }).prefault({}),
  /** When a threshold is crossed: wait for a person, end, or send all devices back. */
  onFailure: z.enum(['pause', 'stop', 'rollback']).default('pause'),
  stepTimeoutSeconds: z
    .int()
    .min(1)
    .max(30 * daySeconds)
    .default(1800),
  totalTimeoutSeconds: z
    .int()
    .min(1)
    .max(365 * daySeconds)
    .default(7 * daySeconds),
  /** By what the error's code says of trying again; an unknown code counts as later. */
  retries: z
    .strictObject({
      never: retrySchema.default(noRetry),
      later: retrySchema.default({ attempts: 2, backoffSeconds: 60 }),
      changed: retrySchema.default(noRetry),
      timeout: retrySchema.default({ attempts: 1, backoffSeconds: 60 }),
    })
    .prefault({}),
  /** Devices that match the fleet's query later join the last wave, and those that no longer match leave; or not. */
  lateJoiners: z.enum(['follow', 'ignore']).default('follow'),
  /** When devices may change, each in its own time zone unless a window names one; absent: at any time. */
  windows: windowsSchema.optional(),
  /** Times in which nobody is asked for anything new. */
  freeze: z
    .array(z.strictObject({ from: instantText, until: instantText, reason: z.string().min(1).max(256).optional() }))
    .max(100)
    .optional(),
  /** Devices fetch and verify the images before they are asked to run them; true: one wave ahead. */
  prefetch: z
    .union(
      [
        z.literal(true),
        z.strictObject({
          /** Of so many waves after the one whose turn it is; 0: those of that one that still wait. */
          wavesAhead: z.int().min(0).max(500).default(1),
          /** So many devices fetch at once. */
          atOnce: z.int().min(1).max(100_000).default(100),
        }),
      ],
      { error: 'is true, or how many waves ahead: { wavesAhead: 2 }, with atOnce' },
    )
    .optional(),
  /** What must hold of the devices of each wave before the next begins; by name. */
  gates: gatesSchema.optional(),
  /** Before the first device switches, those of the first wave run the release beside what answers. */
  shadow: rolloutShadowSchema.optional(),
  layers: notBuilt('layers are'),
});
export type RolloutPolicy = z.output<typeof rolloutPolicySchema>;
export type RetryClass = keyof RolloutPolicy['retries'];

/** What no schema of a single field says. @throws AppError `request.invalid`, `query.invalid` for the canary's query */
export function checkPolicy({
  waves,
  gates = {},
  freeze = [],
  shadow,
}: Pick<RolloutPolicy, 'waves' | 'gates' | 'freeze' | 'shadow'>): void {
  const taken = Object.values(shadowGates).find((name) => shadow !== undefined && Object.hasOwn(gates, name));
  if (taken !== undefined) throw invalid(`gates.${taken}: what shadows say has that name: call this gate otherwise`);
  checkGates(gates);
  for (const [index, { from, until }] of freeze.entries()) {
    if (Date.parse(from) >= Date.parse(until)) throw invalid(`freeze.${String(index)}: it ends before it begins`);
  }
  let reached = -1;
  for (const [index, wave] of waves.entries()) {
    const { where, percent: share }: WaveSize = wave;
    if (where !== undefined) {
      if (index > 0) throw invalid(`waves.${String(index)}: only the first wave takes where`);
      parseQuery(where);
    }
    if (share === undefined) continue;
    if (share <= reached) {
      throw invalid(`waves.${String(index)}: percent counts the waves before in: it must rise from wave to wave`);
    }
    reached = share;
  }
}

function invalid(what: string): AppError {
  return new AppError('request.invalid', `policy: ${what}`);
}

/** `maxUnavailable` among so many devices; at least one, or nothing would ever happen. */
export function unavailableBudget({ maxUnavailable }: Pick<RolloutPolicy, 'maxUnavailable'>, devices: number): number {
  if (typeof maxUnavailable === 'number') return maxUnavailable;
  return Math.max(1, Math.floor((devices * Number.parseInt(maxUnavailable, 10)) / 100));
}
