/** Where a module's answers go. */
import type { ValueSummary } from '#shared/protocol/route-metrics.js';
import type { LossReason, Payload } from '../payload.js';

export type Sent =
  | { readonly kind: 'sent' }
  | { readonly kind: 'lost'; readonly reason: LossReason; readonly message: string }
  /** Not now: it is tried again. */
  | { readonly kind: 'later'; readonly message: string };

export const sent: Sent = { kind: 'sent' };

export interface Target {
  /** Never throws but for bugs. */
  send(payload: Payload, signal: AbortSignal): Promise<Sent>;
  /** What it has to tell with the counts of the interval. */
  takeValues?(): Readonly<Record<string, ValueSummary>> | undefined;
  close?(): Promise<void>;
}
