/** What one module answered since its counts were last taken. */
import type { ErrorCode } from '#shared/kernel/errors.js';
import { addToSketch, emptySketch, encodeSketch, type EncodedSketch } from '#shared/protocol/sketch.js';

export class ModuleCounts {
  private requests = 0;
  private errors = new Map<string, number>();
  private latency = emptySketch();
  private readonly everyError = new Map<ErrorCode, number>();

  /** By code, since the module was loaded. */
  get errorsSinceLoad(): ReadonlyMap<ErrorCode, number> {
    return this.everyError;
  }

  succeeded(latencyMs: number): void {
    this.requests += 1;
    addToSketch(this.latency, latencyMs);
  }

  /** A failed request is counted; its latency says nothing about the model, and is not. */
  failed(code: ErrorCode): void {
    this.requests += 1;
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
    this.everyError.set(code, (this.everyError.get(code) ?? 0) + 1);
  }

  take(): { requests: number; errors: Record<string, number>; latencyMs: EncodedSketch } {
    const taken = {
      requests: this.requests,
      errors: Object.fromEntries(this.errors),
      latencyMs: encodeSketch(this.latency),
    };
    this.requests = 0;
    this.errors = new Map();
    this.latency = emptySketch();
    return taken;
  }
}
