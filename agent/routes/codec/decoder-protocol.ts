/** What the agent and the thread that decodes pictures say to each other. Both are one build. */
import type { Problem } from '#shared/kernel/errors.js';
import type { ImageCodec } from '#shared/protocol/image-codec.js';

export interface ToDecoder {
  readonly id: number;
  readonly bytes: Uint8Array;
  readonly codec: ImageCodec;
}

export type FromDecoder =
  | { readonly id: number; readonly numbers: ArrayBuffer }
  | { readonly id: number; readonly problem: Problem };
