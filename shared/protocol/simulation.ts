/**
 * What a simulated fleet is asked to be, and what its processes and the command line say to each other: one JSON value
 * a line, the order on standard input, lines of {@link simulationLineSchema} on standard output. Between two programs
 * of one installation, hence without versions, but for the profile, which people write.
 */
import * as z from 'zod';
import { counterSchema, nameSchema, problemSchema, tagsSchema } from './primitives.js';

const seconds = z.number().min(0).max(86_400);
/** Drawn evenly between the two, in either order, for each time anew. */
const range = z.tuple([seconds, seconds]);

const conduct = {
  /** How long a version takes to load and to prove itself, from and to. */
  loadSeconds: range.optional(),
  /** Requests are answered in about so many milliseconds. */
  latencyMs: z.number().min(0.01).max(600_000).optional(),
  /** This share of requests fails. */
  errorShare: z.number().min(0).max(1).optional(),
  /** This share of attempts at a version fails, and is tried again after a pause. */
  failureShare: z.number().min(0).max(1).optional(),
  /** A version is refused for good: its golden vectors do not agree. */
  rejects: z.boolean().optional(),
  /** Outputs move away from what they were by so many standard deviations. */
  drift: z.number().min(0).max(100).optional(),
};

const telemetrySchema = z.strictObject({
  /** 0: none is sent. */
  intervalSeconds: z.number().min(0).max(86_400).default(60),
  requestsPerMinute: z.number().min(0).max(1_000_000).default(60),
});

export const simulationGroupSchema = z.strictObject({
  name: nameSchema,
  /** Of a hundred devices; what the groups leave is `steady`. */
  percent: z.number().min(0).max(100),
  /** Images, as name or name:version, that it behaves so with; absent: all. */
  with: z.array(z.string().min(1).max(128)).max(64).optional(),
  ...conduct,
  /** Away, again and again: connected for the first time, then not for the second. */
  away: z.strictObject({ afterSeconds: range, forSeconds: range }).optional(),
});
export type SimulationGroup = z.output<typeof simulationGroupSchema>;

export const simulationProfileSchema = z
  .strictObject({
    schema: z.literal(1).default(1),
    /** How every device behaves, where its group does not say otherwise. */
    ...conduct,
    loadSeconds: range.default([0.2, 1]),
    latencyMs: conduct.latencyMs.unwrap().default(5),
    errorShare: conduct.errorShare.unwrap().default(0),
    failureShare: conduct.failureShare.unwrap().default(0),
    rejects: z.boolean().default(false),
    drift: conduct.drift.unwrap().default(0),
    telemetry: telemetrySchema.prefault({}),
    /** `manifests`: signature, manifests and chunk map; `all`: each byte of the models as well, which is verified and let go. */
    fetch: z.enum(['manifests', 'all']).default('manifests'),
    groups: z.array(simulationGroupSchema).max(32).default([]),
  })
  .refine(
    ({ groups }) => groups.reduce((sum, { percent }) => sum + percent, 0) <= 100,
    'groups: together they are more than 100 percent',
  )
  .refine(
    ({ groups }) => new Set(groups.map(({ name }) => name)).size === groups.length,
    'groups: two have the same name',
  );
export type SimulationProfile = z.output<typeof simulationProfileSchema>;

/** Profiles that need no file. */
export const simulationProfiles = {
  steady: {},
  mixed: {
    groups: [
      { name: 'slow', percent: 5, loadSeconds: [5, 20], latencyMs: 20 },
      { name: 'failing', percent: 3, failureShare: 0.5 },
      { name: 'away', percent: 5, away: { afterSeconds: [20, 60], forSeconds: [10, 30] } },
      { name: 'rejecting', percent: 1, rejects: true },
      { name: 'drifting', percent: 2, drift: 2 },
    ],
  },
  'bad-model': { groups: [{ name: 'rejecting', percent: 100, rejects: true }] },
  drift: { groups: [{ name: 'drifting', percent: 100, drift: 3 }] },
  flaky: { groups: [{ name: 'away', percent: 100, away: { afterSeconds: [10, 60], forSeconds: [5, 30] } }] },
} as const satisfies Record<string, z.input<typeof simulationProfileSchema>>;
export type SimulationProfileName = keyof typeof simulationProfiles;

/** What one process is asked to be: the first line that it reads. */
export const simulationOrderSchema = z.strictObject({
  /** Of a fleet claim or a device; absent: all devices have identities in `state`. */
  token: z.string().max(8192).optional(),
  workspace: nameSchema,
  /** Devices by number: `first`, `first + step` … below `end`, named by `prefix` and the number. */
  prefix: z.string().regex(/^[a-z0-9][a-z0-9-]{0,40}$/),
  first: counterSchema,
  step: counterSchema.min(1),
  end: counterSchema,
  seed: counterSchema,
  profile: simulationProfileSchema,
  tags: tagsSchema,
  /** The tag that says which group a device is in; absent: none does. */
  behaviourTag: z.string().max(63).optional(),
  /** A folder that keeps identities. */
  state: z.string().max(4096).optional(),
  /** A file for what each device did, one JSON value a line. */
  log: z.string().max(4096).optional(),
  enrolAtOnce: z.int().min(1).max(64),
  /** New connections a second. */
  connectPerSecond: z.number().min(1).max(100_000),
  /** Each process has its own number, for files. */
  process: counterSchema,
});
export type SimulationOrder = z.output<typeof simulationOrderSchema>;

export const simulationCountsSchema = z.object({
  devices: counterSchema,
  enrolled: counterSchema,
  connected: counterSchema,
  /** That run what they were asked. */
  converged: counterSchema,
  /** With a version that is refused for good, or that failed and is tried again. */
  rejected: counterSchema,
  failed: counterSchema,
  /** Since the start: documents accepted and refused, connections made, reports, batches sent and known to be stored. */
  documents: counterSchema,
  refused: counterSchema,
  connections: counterSchema,
  reports: counterSchema,
  batches: counterSchema,
  stored: counterSchema,
  commands: counterSchema,
  fetchedBytes: counterSchema,
  /** Of the process, now. */
  rssBytes: counterSchema,
  cpuSeconds: z.number().min(0),
});
export type SimulationCounts = z.output<typeof simulationCountsSchema>;

export const simulationLineSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('counts'), counts: simulationCountsSchema }),
  z.object({ kind: z.literal('note'), text: z.string() }),
  z.object({ kind: z.literal('failed'), problem: problemSchema }),
]);
export type SimulationLine = z.output<typeof simulationLineSchema>;

export function simulatedName(prefix: string, number: number): string {
  return `${prefix}-${String(number).padStart(5, '0')}`;
}
