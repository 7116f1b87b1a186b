/** Every kind of gate, by the name that a policy gives it. */
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import { driftGate } from './drift-gate.js';
import { errorsGate } from './errors-gate.js';
import { common, type Reference } from './gate-fields.js';
import type { GateKind } from './gate-kind.js';
import type { Evidence, Judgement } from './gate-model.js';
import { invalidGate } from './invalid-gate.js';
import { latencyGate } from './latency-gate.js';
import { memoryGate } from './memory-gate.js';

const rowOf = <Kind extends string, Fields extends z.ZodRawShape>(kind: Kind, gate: GateKind<Fields>) => ({
  gate,
  schema: z.strictObject({ kind: z.literal(kind), ...common, ...gate.fields }),
});

export const gateKinds = {
  latency: rowOf('latency', latencyGate),
  errors: rowOf('errors', errorsGate),
  invalid: rowOf('invalid', invalidGate),
  drift: rowOf('drift', driftGate),
  memory: rowOf('memory', memoryGate),
};
export type GateKindName = keyof typeof gateKinds;
export const gateKindNames = Object.keys(gateKinds) as GateKindName[];

export const gateSchema = z.discriminatedUnion('kind', [
  gateKinds.latency.schema,
  gateKinds.errors.schema,
  gateKinds.invalid.schema,
  gateKinds.drift.schema,
  gateKinds.memory.schema,
]);
export type Gate = z.output<typeof gateSchema>;

/** Fields of a kind; undefined where there is no such kind. */
export function gateFields(kind: unknown): string[] | undefined {
  const known = gateKindNames.find((name) => name === kind);
  return known && Object.keys(gateKinds[known].schema.shape);
}

export const maxGates = 50;
/** By name. */
export const gatesOf = <Schema extends z.ZodType<Gate>>(schema: Schema) =>
  z
    .record(nameSchema, schema)
    .refine((gates) => Object.keys(gates).length <= maxGates, `at most ${String(maxGates)} gates`)
    .meta({ maxProperties: maxGates });
export const gatesSchema = gatesOf(gateSchema);
export type Gates = z.output<typeof gatesSchema>;

/** A gate with what its kind makes of it. */
export interface BoundGate {
  readonly measure: string;
  readonly reference: Reference | undefined;
  readonly readsMachine: boolean;
  readonly problem: string | undefined;
  readonly judge: (evidence: Evidence) => Judgement;
}

export function bindGate(gate: Gate): BoundGate {
  switch (gate.kind) {
    case 'latency':
      return bind(latencyGate, gate);
    case 'errors':
      return bind(errorsGate, gate);
    case 'invalid':
      return bind(invalidGate, gate);
    case 'drift':
      return bind(driftGate, gate);
    case 'memory':
      return bind(memoryGate, gate);
  }
}

function bind<Fields extends z.ZodRawShape>(
  kind: GateKind<Fields>,
  gate: Parameters<GateKind<Fields>['judge']>[0],
): BoundGate {
  return {
    measure: kind.measure(gate),
    reference: kind.reference(gate),
    readsMachine: kind.readsMachine ?? false,
    problem: kind.problem?.(gate),
    judge: (evidence) => kind.judge(gate, evidence),
  };
}

/** What no schema of a single field says. @throws AppError `request.invalid` */
export function checkGates(gates: Gates): void {
  for (const [name, gate] of Object.entries(gates)) {
    const { problem } = bindGate(gate);
    if (problem !== undefined) throw new AppError('request.invalid', `policy: gates.${name}: ${problem}`);
    const { reference } = bindGate(gate);
    if (typeof reference === 'object' && 'from' in reference && reference.from >= reference.to) {
      throw new AppError('request.invalid', `policy: gates.${name}.reference: from is not before to`);
    }
  }
}
