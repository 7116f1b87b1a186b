/** What a kind of gate is: its fields, and how it judges numbers. A new kind is a file and a row in `gate-kinds.ts`. */
import type * as z from 'zod';
import type { Reference } from './gate-fields.js';
import type { Evidence, Judgement } from './gate-model.js';

export interface GateKind<Fields extends z.ZodRawShape> {
  /** Strict; `kind` itself and `common` are added to them. */
  readonly fields: Fields;
  /** What it measures, in a word or two. */
  readonly measure: (gate: GateOf<Fields>) => string;
  /** Undefined: it compares with nothing, and no reference is read. */
  readonly reference: (gate: GateOf<Fields>) => Reference | undefined;
  /** Readings of the machine are read too, which costs more. */
  readonly readsMachine?: boolean;
  /** Undefined: there is nothing wrong with its fields. */
  readonly problem?: (gate: GateOf<Fields>) => string | undefined;
  /** Pure. With less than `minSamples` it never passes. */
  readonly judge: (gate: GateOf<Fields>, evidence: Evidence) => Judgement;
}

export type GateOf<Fields extends z.ZodRawShape> = z.output<z.ZodObject<Fields>> & { readonly minSamples: number };

export function gateKind<Fields extends z.ZodRawShape>(kind: GateKind<Fields>): GateKind<Fields> {
  return kind;
}
