/** What goes between the control plane's main thread and the telemetry worker. */
import type { Problem } from '#shared/kernel/errors.js';
import type { EventsQuestion, ReceivedBatch, TelemetryQuestion } from './telemetry-port.js';

export type WorkerCall =
  | { readonly kind: 'ingest'; readonly batches: readonly ReceivedBatch[] }
  | { readonly kind: 'telemetry'; readonly question: TelemetryQuestion }
  | { readonly kind: 'events'; readonly question: EventsQuestion }
  | { readonly kind: 'prune'; readonly beforeMs: number }
  | { readonly kind: 'eraseWorkspace'; readonly workspace: string }
  | { readonly kind: 'close' };

export interface WorkerRequest {
  readonly id: number;
  readonly call: WorkerCall;
}

/** `ready` comes once, before any answer. */
export type WorkerMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly problem: Problem }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'problem'; readonly id: number; readonly problem: Problem };
