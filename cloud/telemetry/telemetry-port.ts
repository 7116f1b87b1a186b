/** The telemetry store as its callers see it: in a worker in production, in place in tests. All plain data. */
import type { Ack, DeviceEvent, StreamKind, SystemMetrics } from '#shared/protocol/stream.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';

/** One batch as it arrived; decoded where it is stored. */
export interface ReceivedBatch extends DeviceAddress {
  readonly kind: StreamKind;
  readonly receivedAt: number;
  readonly payload: Uint8Array;
}

export interface IngestResult {
  /** To be sent now that the commit is done. */
  readonly acks: readonly (DeviceAddress & { readonly ack: Ack })[];
  /** Newly stored, in order. */
  readonly events: readonly (DeviceAddress & { readonly event: DeviceEvent; readonly receivedAt: number })[];
  readonly counts: Readonly<Record<IngestOutcome, number>>;
}

export const ingestOutcomes = ['stored', 'duplicate', 'gap', 'malformed', 'dropped'] as const;
export type IngestOutcome = (typeof ingestOutcomes)[number];

export interface TelemetryQuestion extends DeviceAddress {
  /** Epoch milliseconds by the control plane's clock. */
  readonly fromMs: number;
  readonly module?: string;
}

export interface ModuleTelemetry {
  readonly module: string;
  readonly version: number;
  readonly digest: string;
  readonly provider?: string;
  readonly requests: number;
  readonly errors: Record<string, number>;
  readonly latencyMs: Record<'p50' | 'p90' | 'p99' | 'max' | 'mean', number | null>;
}

/** Batches `from` to `upTo` of a boot's stream that the device let go. */
export interface StreamGap {
  readonly kind: string;
  readonly bootId: number;
  readonly from: number;
  readonly upTo: number;
  readonly reason: string | undefined;
  readonly receivedAtMs: number;
}

export interface TelemetryAnswer {
  readonly batches: number;
  readonly lastAtMs: number | undefined;
  readonly dropped: number;
  /** The latest, of any span. */
  readonly gaps: readonly StreamGap[];
  readonly modules: readonly ModuleTelemetry[];
  readonly system: SystemMetrics | undefined;
}

export interface EventsQuestion extends DeviceAddress {
  readonly limit: number;
  /** `next` of the page before. */
  readonly before?: number;
}

export interface StoredEvent {
  readonly at: string;
  readonly receivedAt: number;
  readonly level: string;
  readonly type: string;
  readonly module?: string;
  readonly message: string;
}

export interface EventsAnswer {
  /** Newest first. */
  readonly events: readonly StoredEvent[];
  readonly next?: number;
}

export interface TelemetryPort {
  /** Resolves after the commit. */
  ingest(batches: readonly ReceivedBatch[]): Promise<IngestResult>;
  telemetry(question: TelemetryQuestion): Promise<TelemetryAnswer>;
  events(question: EventsQuestion): Promise<EventsAnswer>;
  /** Removes rows received before the instant; marks stay. @returns rows removed */
  prune(beforeMs: number): Promise<number>;
  /** Removes all that devices of the workspace ever said, marks included: a later one of this name starts anew. */
  eraseWorkspace(workspace: string): Promise<void>;
  close(): Promise<void>;
}
