/** What goes between the control plane's main thread and the telemetry worker: calls of the port, by name. */
import type { Problem } from '#shared/kernel/errors.js';
import type { TelemetryPort } from './telemetry-port.js';

export interface TelemetryWorkerData {
  /** Of the database file. */
  readonly path: string;
  /** `stores`: it takes all calls; `asks`: questions alone. */
  readonly task: 'stores' | 'asks';
  /** Minutes are told by device too. */
  readonly tellsDevices: boolean;
}

export type WorkerCall = {
  [Kind in keyof TelemetryPort]: { readonly kind: Kind; readonly args: Parameters<TelemetryPort[Kind]> };
}[keyof TelemetryPort];

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
