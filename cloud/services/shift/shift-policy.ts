/** What a person asks of a shift: whether green gets copies first, in what steps it gets traffic, and what stops it. Strict. */
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { referenceSchema } from '#cloud/rollout/gates/gate-fields.js';
import { bindGate, checkGates, gateKinds, gatesOf } from '#cloud/rollout/gates/gate-kinds.js';
import { rolloutShadowSchema } from '#cloud/rollout/shadow/shadow-policy.js';
import { shadowGates } from '#cloud/rollout/shadow/shadow-verdicts.js';

const daySeconds = 86_400;
const seconds = z
  .int()
  .min(0)
  .max(30 * daySeconds);

/** What answers beside it all the time is the natural thing to compare with. */
const compared = { reference: referenceSchema.default('peers') };
const shiftGateSchema = z.discriminatedUnion('kind', [
  gateKinds.latency.schema.extend(compared),
  gateKinds.errors.schema.extend(compared),
  gateKinds.invalid.schema,
  gateKinds.drift.schema.extend(compared),
  gateKinds.memory.schema.extend(compared),
]);

/** Copies of live requests, before it answers any: judged as a shadow of a rollout is. */
export const shiftMirrorSchema = rolloutShadowSchema.omit({ modules: true }).extend({
  /** Of a hundred live requests, so many are copied. */
  percent: z.int().min(1).max(50).default(20),
});
export type ShiftMirror = z.output<typeof shiftMirrorSchema>;

export const shiftStepSchema = z.strictObject({
  /** Of the requests, once the step has begun. */
  percent: z.int().min(1).max(100),
  /** How long it is watched at least before the next. */
  bakeSeconds: seconds.default(60),
});
export type ShiftStep = z.output<typeof shiftStepSchema>;
export const shiftStepFields = Object.keys(shiftStepSchema.shape);

export const shiftPolicySchema = z.strictObject({
  /** Before the first step; absent: it gets no copies. */
  mirror: shiftMirrorSchema.optional(),
  /** In order, rising to 100. */
  steps: z
    .array(shiftStepSchema)
    .min(1)
    .max(100)
    .default([5, 25, 50, 100].map((percent) => ({ percent, bakeSeconds: 60 }))),
  /** What must hold in each step before the next; by name. Without any, time and readiness alone decide. */
  gates: gatesOf(shiftGateSchema).optional(),
  /** When a gate fails or it is not ready: all goes back to what it was before the shift, or waits for a person. */
  onFailure: z.enum(['return', 'pause']).default('return'),
  /** So long it may be without enough replicas, once it has begun. */
  unreadySeconds: seconds.default(30),
  /** Without the time that it stood paused; then all goes back. */
  totalTimeoutSeconds: z
    .int()
    .min(1)
    .max(365 * daySeconds)
    .default(daySeconds),
});
export type ShiftPolicy = z.output<typeof shiftPolicySchema>;

/** What no schema of a single field says. @throws AppError `request.invalid` */
export function checkShiftPolicy({ steps, gates = {}, mirror }: ShiftPolicy): void {
  const taken = Object.values(shadowGates).find((name) => mirror !== undefined && Object.hasOwn(gates, name));
  if (taken !== undefined) throw invalid(`gates.${taken}: what copies say has that name: call this gate otherwise`);
  checkGates(gates);
  for (const [name, gate] of Object.entries(gates)) {
    if (gate.kind !== 'memory' || gate.reference === 'peers') continue;
    throw invalid(
      `gates.${name}.reference: memory is read while the shift is under way; only peers can be compared with`,
    );
  }
  const [first] = steps;
  const beside = Object.entries(gates).find(([, gate]) => bindGate(gate).reference === 'peers');
  if (first?.percent === 100 && mirror === undefined && beside !== undefined) {
    throw invalid(
      `gates.${beside[0]}: nothing answers beside a first step of 100 percent: begin with fewer, or compare with reference: before`,
    );
  }
  let reached = 0;
  for (const [index, { percent }] of steps.entries()) {
    if (percent <= reached) throw invalid(`steps.${String(index)}: percent must rise from step to step`);
    reached = percent;
  }
  if (reached !== 100) throw invalid(`steps: the last is ${String(reached)} percent; end with { percent: 100 }`);
}

function invalid(what: string): AppError {
  return new AppError('request.invalid', `policy: ${what}`);
}
