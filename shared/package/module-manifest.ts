/** `module.yaml`: what a module is. Strict: a field that is accepted works. */
import * as z from 'zod';
import { nameSchema, relativePathSchema } from '#shared/protocol/primitives.js';
import { portListSchema, routesSchema } from '#shared/protocol/route.js';
import { permissionsSchema, requirementsSchema, resourcesSchema } from './sandbox-options.js';
import { type ScoringOptions, scoringOptionsSchema } from './scoring-options.js';

export const moduleModelSchema = z.strictObject({
  /** The name that scoring scripts and URLs use. */
  name: nameSchema,
  /** The ONNX file; files of external data beside it are taken along. */
  file: relativePathSchema,
});

export const goldenSchema = z.strictObject({
  /** A JSON array of {name, request, response}: Open Inference Protocol V2 bodies. */
  file: relativePathSchema,
  tolerance: z
    .strictObject({ absolute: z.number().min(0).default(1e-4), relative: z.number().min(0).default(1e-3) })
    .prefault({}),
  /** No vector may take longer, at its best of a few runs; absent: however long. */
  maxLatencyMs: z.number().min(0.001).max(3_600_000).optional(),
  /** By which the module's processes may grow while it is loaded and proved; absent: however much. */
  maxMemoryMegabytes: z.int().min(1).max(1_000_000).optional(),
});

/** What a module may ask for in worker threads, given or found. */
const maxInstances = 64;

export const accelerators = ['cpu', 'cuda', 'tensorrt', 'webgpu', 'coreml', 'dml'] as const;

type ScoringShape = typeof scoringOptionsSchema.shape;
type ScoringParts = { [Part in keyof ScoringShape]: z.ZodOptional<ReturnType<ScoringShape[Part]['unwrap']>> };

/**
 * How models are run, each part left out where the file does: not filled with defaults, a module that
 * says nothing of a part keeps its digest when parts and options are added.
 */
function scoringParts(shape: ScoringShape): ScoringParts {
  const parts = Object.entries(shape).map(([name, part]) => [name, part.unwrap().optional()]);
  return Object.fromEntries(parts) as ScoringParts;
}

const head = {
  schema: z.literal(1),
  name: nameSchema,
  description: z.string().max(1024).optional(),
  models: z.array(moduleModelSchema).min(1).max(16),
  /** Execution providers in order of preference; the first that works on the device runs the model. */
  accelerators: z.array(z.enum(accelerators)).min(1).default(['cpu']),
  /** Worker threads, each with its own session of each model. `auto`: one for each core that the host may use. */
  instances: z
    .union([z.literal('auto'), z.int().min(1).max(maxInstances)], {
      error: `must be auto, or a whole number from 1 to ${String(maxInstances)}`,
    })
    .default(1),
  golden: goldenSchema.optional(),
  /** Where its data comes from and its answers go, by name. */
  routes: routesSchema.optional(),
  ...scoringParts(scoringOptionsSchema.shape),
};

export const moduleManifestSchema = z.discriminatedUnion('flavor', [
  z.strictObject({ ...head, flavor: z.literal('onnx') }),
  z.strictObject({
    ...head,
    flavor: z.literal('node'),
    /** A JavaScript or TypeScript module that exports init() and run(input, context). */
    entry: relativePathSchema,
    /** Beside `amlInput`: what `context.input` may be. */
    inputs: portListSchema.optional(),
    /** Beside `amlOutput` and the outputs of its own routes: what `context.emit()` takes. */
    outputs: portListSchema.optional(),
    resources: resourcesSchema.optional(),
    permissions: permissionsSchema.optional(),
    requires: requirementsSchema.optional(),
  }),
]);
export type ModuleManifest = z.infer<typeof moduleManifestSchema>;

/** How the module's models are run, with the defaults for all that it does not say. */
export function scoringOptionsOf(manifest: ModuleManifest): ScoringOptions {
  const parts = Object.entries(manifest).filter(([name]) => Object.hasOwn(scoringOptionsSchema.shape, name));
  return scoringOptionsSchema.parse(Object.fromEntries(parts));
}

/** @param cores what the host may use */
export function instancesOf(manifest: ModuleManifest, cores: number): number {
  return manifest.instances === 'auto' ? Math.min(Math.max(1, cores), maxInstances) : manifest.instances;
}

/** Known to the design, refused until built: the message says so instead of "unknown key". */
export const notYetFlavors = ['python', 'container'] as const;
export const notYetFields = ['probes', 'fallback'] as const;
