/**
 * A route: where a module's data comes from, or where its answers go. It stands in `module.yaml`, and in a
 * desired document where it overrides one. Every route has the module at one end: data to an `input` of it,
 * or what an `output` of it gives.
 */
import * as z from 'zod';
import { nameSchema, relativePathSchema } from './primitives.js';
import { topicFilterSchema, topicSchema } from './local-topic.js';
import { imageCodecSchema } from './image-codec.js';

/** Names of inputs and outputs: Azure's have capitals. */
export const portNameSchema = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_-]{0,62}$/, 'must be 1 to 63 letters, digits, "_" and "-", starting with a letter');

/** Every module has them. */
export const defaultInput = 'amlInput';
/** Every answer to what came to an input. */
export const defaultOutput = 'amlOutput';

export const portListSchema = z.array(portNameSchema).min(1).max(16);

/** Of the agent's own listener, or of a broker that the device's settings name. */
const broker = nameSchema.optional();

export const topicSourceSchema = z.strictObject({ topic: topicFilterSchema, broker });
export const folderSourceSchema = z.strictObject({
  /** Below the root that the device's settings allow. */
  folder: relativePathSchema,
  /** Which names in it: `*` stands for any letters, `?` for one. */
  match: z
    .string()
    .min(1)
    .max(128)
    .regex(/^[^/\0]+$/, 'must be a name, with * and ? as wildcards')
    .default('*'),
  /** What becomes of a file that was answered; `move`: to `done` in the folder. */
  // biome-ignore lint/suspicious/noThenProperty: the word that users write
  then: z.enum(['delete', 'move', 'keep']).default('move'),
});
export const cronSourceSchema = z.strictObject({
  /** Five fields, or six with seconds first. */
  cron: z
    .string()
    .max(128)
    .regex(/^\S+(?:\s+\S+){4,5}$/, 'must be a cron expression of five or six fields'),
  timeZone: z
    .string()
    .max(64)
    .regex(/^[A-Za-z0-9_+/-]+$/, 'must be an IANA time zone, for example Europe/Berlin')
    .optional(),
});
/** POST /routes/{module}/{http} on the scoring port. */
export const httpSourceSchema = z.strictObject({ http: nameSchema });
export const moduleSourceSchema = z.strictObject({ module: nameSchema, output: portNameSchema });
export const outputSourceSchema = z.strictObject({ output: portNameSchema });

export const inputTargetSchema = z.strictObject({ input: portNameSchema });
export const topicTargetSchema = z.strictObject({ topic: topicSchema, broker });
export const cloudTargetSchema = z.strictObject({
  /** `event`: each value by itself. `telemetry`: its numbers, summed up over the interval. */
  cloud: z.enum(['event', 'telemetry']),
  /** Values beyond it are dropped, and counted. */
  maxPerMinute: z.int().min(1).max(6000).default(60),
});
export const fileTargetSchema = z.strictObject({
  /** One JSON value a line, below the root that the device's settings allow. */
  file: relativePathSchema,
  /** Then it becomes `<file>.1`, and that one `<file>.2`. */
  maxBytes: z
    .int()
    .min(1024)
    .max(16 * 1024 ** 3)
    .default(16 * 1024 ** 2),
  /** How many full files are kept beside it. */
  keep: z.int().min(0).max(100).default(4),
});
export const moduleTargetSchema = z.strictObject({ module: nameSchema, input: portNameSchema });

export const routeQueueSchema = z.strictObject({
  /** Items that wait at most. */
  size: z.int().min(1).max(100_000).default(100),
  maxBytes: z
    .int()
    .min(1024)
    .max(1024 ** 3)
    .default(16 * 1024 ** 2),
  /**
   * When it is full: let the oldest go, the newest, or have the source wait. A folder always waits, with
   * `drop-oldest` elsewhere unless given.
   */
  policy: z.enum(['drop-oldest', 'drop-newest', 'block']).optional(),
});
export type QueuePolicy = NonNullable<z.infer<typeof routeQueueSchema>['policy']>;

/** How bytes become an input. */
export const routeCodecSchema = z.union([z.enum(['json', 'bytes']), z.strictObject({ image: imageCodecSchema })], {
  error: 'must be json, bytes, or { image: … }',
});
export type RouteCodec = z.infer<typeof routeCodecSchema>;

export const routeSchema = z.strictObject({
  from: z.union(
    [topicSourceSchema, folderSourceSchema, cronSourceSchema, httpSourceSchema, moduleSourceSchema, outputSourceSchema],
    { error: 'must be one of { topic }, { folder }, { cron }, { http }, { module, output } and { output }' },
  ),
  to: z.union([inputTargetSchema, topicTargetSchema, cloudTargetSchema, fileTargetSchema, moduleTargetSchema], {
    error: 'must be one of { input }, { topic }, { cloud }, { file } and { module, input }',
  }),
  /** Of data to an input; `json` unless given. */
  codec: routeCodecSchema.optional(),
  queue: routeQueueSchema.optional(),
});
export type Route = z.infer<typeof routeSchema>;
export type RouteSource = Route['from'];
export type RouteTarget = Route['to'];

export const maxRoutes = 16;

export const routesSchema = z
  .record(nameSchema, routeSchema)
  .refine((routes) => Object.keys(routes).length <= maxRoutes, `at most ${String(maxRoutes)} routes`)
  .meta({ maxProperties: maxRoutes });
export type Routes = z.infer<typeof routesSchema>;

/** What a desired document says of a module's routes: takes the place of the route of that name; null: none. */
export const routeOverridesSchema = z
  .record(nameSchema, routeSchema.nullable())
  .refine((routes) => Object.keys(routes).length <= maxRoutes, `at most ${String(maxRoutes)} routes`)
  .meta({ maxProperties: maxRoutes });
export type RouteOverrides = z.infer<typeof routeOverridesSchema>;

export function routesWith(own: Routes | undefined, overrides: RouteOverrides | undefined): Routes {
  const merged = Object.entries({ ...own, ...overrides });
  return Object.fromEntries(merged.flatMap(([name, route]) => (route === null ? [] : [[name, route] as const])));
}
