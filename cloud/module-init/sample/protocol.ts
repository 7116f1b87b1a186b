/** What the process that tries a new module's model says, once, over IPC. Both ends are the same build. */
import type { TensorSignature } from '#shared/scoring/codec/tensor.js';

export interface Sample {
  readonly inputs: readonly TensorSignature[];
  readonly outputs: readonly TensorSignature[];
  /** Why each further output is none that can be served. */
  readonly notServed: readonly string[];
  /** V2 bodies in JSON, and what the model answered; absent where there is none, and why. */
  readonly exchange?: { readonly request: string; readonly response: string };
  readonly reason?: string;
}

export type SampleVerdict =
  | { readonly ok: true; readonly sample: Sample }
  | { readonly ok: false; readonly reason: string };
