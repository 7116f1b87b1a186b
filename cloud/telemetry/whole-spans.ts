/** From where a span of time is read: its edges from what is finer, its middle from what is coarser. Pure. */
import { startOf } from './roll-up.js';

export interface SpanPart {
  /** Seconds; 0: batches as they came. */
  readonly resolution: 0 | 60 | 3600;
  readonly fromMs: number;
  /** Exclusive; infinite where the span has no end. */
  readonly toMs: number;
}

/** @returns parts that together are exactly the span, none in two of them; an end is taken down to its minute */
export function wholeSpans(fromMs: number, toMs = Number.POSITIVE_INFINITY): SpanPart[] {
  const end = Number.isFinite(toMs) ? startOf(toMs, 60) : toMs;
  const minute = Math.min(end, ceilOf(fromMs, 60));
  const hour = Math.min(end, ceilOf(fromMs, 3600));
  const lastHour = Number.isFinite(end) ? Math.max(hour, startOf(end, 3600)) : end;
  const parts: SpanPart[] = [
    { resolution: 0, fromMs, toMs: minute },
    { resolution: 60, fromMs: minute, toMs: hour },
    { resolution: 3600, fromMs: hour, toMs: lastHour },
    { resolution: 60, fromMs: lastHour, toMs: end },
  ];
  return parts.filter((part) => part.fromMs < part.toMs);
}

function ceilOf(atMs: number, resolution: number): number {
  const start = startOf(atMs, resolution);
  return start === atMs ? start : start + resolution * 1000;
}
