/** From where a span of time is read: its edges from what is finer, its middle from what is coarser. Pure. */
import { ceilOf, startOf, type Summed } from './summed.js';

export interface SpanPart {
  /** Seconds; 0: batches as they came. */
  readonly resolution: 0 | 60 | 3600;
  readonly fromMs: number;
  /** Exclusive; infinite where the span has no end. */
  readonly toMs: number;
}

/**
 * @param summed how far there are minutes and hours: what came later is read from what is finer
 * @returns parts that together are exactly the span, none in two of them; an end is taken down to its minute
 */
export function wholeSpans(fromMs: number, end: number | undefined, { minutesTo, hoursTo }: Summed): SpanPart[] {
  const toMs = end === undefined ? Number.POSITIVE_INFINITY : startOf(end, 60);
  const minute = Math.min(toMs, ceilOf(fromMs, 60));
  const hour = Math.min(toMs, ceilOf(fromMs, 3600));
  const lastHour = Math.max(hour, startOf(Math.min(toMs, hoursTo), 3600));
  const lastMinute = Math.max(minute, Math.min(toMs, minutesTo));
  const parts: SpanPart[] = [
    { resolution: 0, fromMs, toMs: minute },
    { resolution: 60, fromMs: minute, toMs: Math.min(hour, lastMinute) },
    { resolution: 3600, fromMs: hour, toMs: lastHour },
    { resolution: 60, fromMs: lastHour, toMs: lastMinute },
    { resolution: 0, fromMs: lastMinute, toMs },
  ];
  return parts.filter((part) => part.fromMs < part.toMs);
}
