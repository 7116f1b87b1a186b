/** What a quality gate looks at and what it says, as data. */
import type { ModuleNumbers } from '#cloud/telemetry/cohort-numbers.js';

export const verdicts = ['pass', 'fail', 'undecided'] as const;
export const units = ['ms', 'share', 'bytes', 'psi'] as const;

/** Why a gate cannot decide. The text has the numbers. */
export interface Lack {
  readonly what: 'samples' | 'reference' | 'tensor' | 'version' | 'clarity';
  readonly text: string;
  /** Samples that would do, as far as that can be told. */
  readonly needed?: number | undefined;
}

/** What a kind of gate makes of numbers. */
export interface Judgement {
  readonly verdict: (typeof verdicts)[number];
  readonly unit: (typeof units)[number];
  /** Of the candidate, and of what it is compared with; null where there is none. */
  readonly value: number | null;
  readonly reference: number | null;
  /** What the value may be at most, reference considered; null while the reference is not there. */
  readonly bound: number | null;
  /** Answers, elements or readings that the value rests on. */
  readonly samples: number;
  readonly referenceSamples?: number | undefined;
  /** Exactly where it is undecided. */
  readonly lack?: Lack | undefined;
}

/** Of one gate, one module, one wave: with the numbers behind it. */
export interface GateVerdict extends Judgement {
  readonly gate: string;
  readonly kind: string;
  /** The measured thing in words, such as `p99` or `output.label`. */
  readonly measure: string;
  readonly module: string;
  /** Devices that told something of it, and those that could. */
  readonly told: number;
  readonly devices: number;
}

/** Numbers of one module: of versions that the rollout brings, and of those they are compared with. Never of both. */
export interface Evidence {
  readonly module: string;
  readonly candidate: ModuleNumbers;
  readonly reference: ModuleNumbers;
  /** Devices of the wave that were asked for it, or had it. */
  readonly devices: number;
}
