/** How a shadow version compares with what answered live. */
import { addToSketch, emptySketch, encodeSketch, type EncodedSketch } from '#shared/protocol/sketch.js';

export interface ShadowStats {
  /** Copies that both sides answered and whose answers were compared. */
  readonly compared: number;
  readonly agreed: number;
  readonly disagreed: number;
  /** Answered by both, and too large to compare. */
  readonly uncompared: number;
  /** Copied requests that the live version failed on for its own fault. */
  readonly liveErrors: number;
  /** Copied requests that only the shadow failed on. */
  readonly shadowErrors: number;
  /** Requests chosen to be copied for which there was no room. */
  readonly dropped: number;
  /** The largest difference of two floats at the same place; null: none was seen. */
  readonly largestDifference: number | null;
  /** Of the same requests, from their start on each side. */
  readonly liveLatencyMs: EncodedSketch;
  readonly shadowLatencyMs: EncodedSketch;
}

/** Of a shadow that is not among its host's modules. */
export interface OutsideStats extends ShadowStats {
  readonly digest: string;
  readonly version: number;
  readonly tag?: string;
}

export type ShadowOutcome =
  | { readonly kind: 'compared'; readonly agreed: boolean; readonly largestDifference: number | undefined }
  | { readonly kind: 'uncompared' };

export class ShadowCounts {
  private compared = 0;
  private agreed = 0;
  private uncompared = 0;
  private liveErrors = 0;
  private shadowErrors = 0;
  private dropped = 0;
  private largestDifference: number | undefined;
  private readonly live = emptySketch();
  private readonly shadow = emptySketch();

  answered(outcome: ShadowOutcome, liveMs: number, shadowMs: number): void {
    addToSketch(this.live, liveMs);
    addToSketch(this.shadow, shadowMs);
    if (outcome.kind === 'uncompared') {
      this.uncompared += 1;
      return;
    }
    this.compared += 1;
    if (outcome.agreed) this.agreed += 1;
    const { largestDifference } = outcome;
    if (largestDifference !== undefined)
      this.largestDifference = Math.max(this.largestDifference ?? 0, largestDifference);
  }

  liveFailed(): void {
    this.liveErrors += 1;
  }

  shadowFailed(): void {
    this.shadowErrors += 1;
  }

  drop(copies = 1): void {
    this.dropped += copies;
  }

  snapshot(): ShadowStats {
    return {
      compared: this.compared,
      agreed: this.agreed,
      disagreed: this.compared - this.agreed,
      uncompared: this.uncompared,
      liveErrors: this.liveErrors,
      shadowErrors: this.shadowErrors,
      dropped: this.dropped,
      largestDifference: this.largestDifference ?? null,
      liveLatencyMs: encodeSketch(this.live),
      shadowLatencyMs: encodeSketch(this.shadow),
    };
  }
}
