/** What a device says it runs, and the diffs in which it says so. */
import * as z from 'zod';
import { acceleratorKinds, precisions } from './accelerators.js';
import { counterSchema, digestSchema, instantSchema, nameSchema, problemSchema, schemaVersion } from './primitives.js';
import { sandboxCapabilitiesSchema } from './sandbox.js';
import { shadowReportSchema } from './shadow.js';

/** States of a version that is on its way to answer, answers on probation, or was refused. */
export const candidateStates = ['fetching', 'staged', 'proving', 'probation', 'rejected', 'failed'] as const;
/** States of the version that is committed to. `standby`: loaded, while the candidate answers on probation. */
export const activeStates = ['running', 'restarting', 'stopped', 'standby'] as const;

const numbers = z.record(z.string(), z.number());

export const candidateSchema = z.object({
  digest: digestSchema,
  version: z.int().min(1),
  state: z.enum(candidateStates),
  reason: problemSchema.optional(),
  /** For example bytesFetched, bytesTotal, attempts; on probation and after it requests, errors, p99Ms. */
  numbers: numbers.optional(),
});

export const activeSchema = z.object({
  digest: digestSchema,
  version: z.int().min(1),
  state: z.enum(activeStates),
  /** The execution provider that really runs the model. */
  provider: z.string().max(64).optional(),
  reason: problemSchema.optional(),
  numbers: numbers.optional(),
});

export const moduleReportSchema = z.object({
  active: activeSchema.optional(),
  candidate: candidateSchema.optional(),
  previous: z.object({ digest: digestSchema, version: z.int().min(1) }).optional(),
  shadow: shadowReportSchema.optional(),
  /** Until when, at most, the module itself puts its replacement off, and why. */
  busy: z.object({ until: instantSchema, reason: z.string().max(256) }).optional(),
  /** Of an index, which digests above are, the image that the device picked, and why. */
  variant: z
    .object({
      digest: digestSchema,
      accelerator: z.enum(acceleratorKinds),
      precision: z.enum(precisions),
      because: z.string().max(512),
    })
    .optional(),
  /** What is to take over, or to go, waits for its maintenance window: when that opens. */
  window: z.object({ opensAt: instantSchema }).optional(),
  /** It starts after modules that do not answer yet; then without them. */
  waitsFor: z.object({ modules: z.array(nameSchema).max(64), until: instantSchema }).optional(),
});
export type ModuleReport = z.infer<typeof moduleReportSchema>;

export const capabilitiesSchema = z.object({
  agentVersion: z.string().max(64),
  platform: z.string().max(64).describe('for example linux-x64'),
  cpus: z.int().min(1),
  memoryBytes: z.number(),
  accelerators: z.array(z.string().max(32)).max(16),
  hostname: z.string().max(255),
  /** In which maintenance windows are read; absent: an agent that knows none. */
  timeZone: z.string().max(64).optional(),
  /** Absent: an agent that runs user code without bounds. */
  sandbox: sandboxCapabilitiesSchema.optional(),
  /** What desired documents may ask beyond what every agent understands: `shadow`, `startAfter`, `variants`; absent: nothing. */
  features: z.array(z.string().max(32)).max(64).optional(),
});
export type Capabilities = z.infer<typeof capabilitiesSchema>;

/** The last desired document that the device would not follow. */
export const refusalSchema = z.object({
  generation: counterSchema.optional(),
  problem: problemSchema,
  at: instantSchema,
});

/** Which version of the trust document the device goes by; 0 is what its enrolment token pinned. */
export const reportedTrustSchema = z.object({
  version: counterSchema,
  /** Modules that answer although no publisher who counts has signed them any more. */
  unsigned: z.array(nameSchema).max(64).default([]),
  /** Why the newest offered version was not taken. */
  problem: problemSchema.optional(),
});

const scoringSchema = z.object({ address: z.string().max(64), port: z.int().min(0).max(65_535) });

/** The whole of what is reported; what the cloud holds after applying every diff. */
export const reportedStateSchema = z.object({
  /** The desired generation that this state reflects: accepted, though maybe not yet reached. */
  generation: counterSchema,
  /** True when the device runs what that generation asks. */
  converged: z.boolean(),
  modules: z.record(nameSchema, moduleReportSchema),
  capabilities: capabilitiesSchema.optional(),
  refused: refusalSchema.nullable().optional(),
  /** Where local scoring answers, for whoever stands at the device. */
  scoring: scoringSchema.optional(),
  trust: reportedTrustSchema.optional(),
  /** Digests of the images that it was to prefetch and holds, verified; absent: none. */
  prefetched: z.array(digestSchema).max(64).optional(),
});
export type ReportedState = z.infer<typeof reportedStateSchema>;

/**
 * One report. With `base` it is a diff on the report of that sequence in the same boot: fields that
 * stand here replace, a field or module that is null is gone. Without `base` it is the whole.
 */
export const reportedSchema = z.object({
  schema: schemaVersion,
  bootId: counterSchema,
  sequence: counterSchema.min(1),
  base: counterSchema.optional(),
  at: instantSchema,
  state: reportedStateSchema.partial().extend({
    modules: z.record(nameSchema, moduleReportSchema.nullable()).optional(),
    capabilities: capabilitiesSchema.nullable().optional(),
    scoring: scoringSchema.nullable().optional(),
    trust: reportedTrustSchema.nullable().optional(),
    prefetched: z.array(digestSchema).max(64).nullable().optional(),
  }),
});
export type Reported = z.infer<typeof reportedSchema>;
export type ReportedPatch = Reported['state'];

export const emptyReportedState: ReportedState = { generation: 0, converged: false, modules: {} };

/** Fields of a state that may be absent. `null` and absent mean the same: a diff says null, a state leaves it out. */
const optionalFields = ['capabilities', 'refused', 'scoring', 'trust', 'prefetched'] as const;

export function applyPatch(state: ReportedState, patch: ReportedPatch): ReportedState {
  const modules = { ...state.modules };
  for (const [name, report] of Object.entries(patch.modules ?? {})) {
    if (report === null) delete modules[name];
    else modules[name] = report;
  }
  const next: ReportedState = {
    generation: patch.generation ?? state.generation,
    converged: patch.converged ?? state.converged,
    modules,
  };
  // `undefined` in the patch: says nothing. `null`: gone.
  const capabilities = patch.capabilities === undefined ? state.capabilities : patch.capabilities;
  const refused = patch.refused === undefined ? state.refused : patch.refused;
  const scoring = patch.scoring === undefined ? state.scoring : patch.scoring;
  const trust = patch.trust === undefined ? state.trust : patch.trust;
  if (capabilities) next.capabilities = capabilities;
  if (refused) next.refused = refused;
  if (scoring) next.scoring = scoring;
  if (trust) next.trust = trust;
  const prefetched = patch.prefetched === undefined ? state.prefetched : patch.prefetched;
  if (prefetched) next.prefetched = prefetched;
  return next;
}

/** The smallest patch that turns `from` into `to`; undefined when they are equal. */
export function diffReported(from: ReportedState, to: ReportedState): ReportedPatch | undefined {
  const patch: Record<string, unknown> = {};
  if (from.generation !== to.generation) patch['generation'] = to.generation;
  if (from.converged !== to.converged) patch['converged'] = to.converged;
  for (const field of optionalFields) {
    if (!sameJson(to[field] ?? null, from[field] ?? null)) patch[field] = to[field] ?? null;
  }
  const modules: Record<string, ModuleReport | null> = {};
  for (const name of new Set([...Object.keys(from.modules), ...Object.keys(to.modules)])) {
    const now = moduleOf(to, name);
    if (!sameJson(now, moduleOf(from, name))) modules[name] = now;
  }
  if (Object.keys(modules).length > 0) patch['modules'] = modules;
  return Object.keys(patch).length > 0 ? (patch as ReportedPatch) : undefined;
}

/** By own keys only: `constructor` is a valid name, and every object inherits one. */
function moduleOf(state: ReportedState, name: string): ModuleReport | null {
  return Object.hasOwn(state.modules, name) ? (state.modules[name] ?? null) : null;
}

function sameJson(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
