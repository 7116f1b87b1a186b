import type { Generated } from 'kysely';

/** The tables of the telemetry database: a file of its own, because losing its last second is no loss. */

/** How far each (device, kind, boot) is stored; outlives the retention of what it counts. */
export interface StreamMarkTable {
  workspace: string;
  device: string;
  kind: string;
  bootId: number;
  upTo: number;
  /** Batches the device said it dropped. */
  dropped: number;
}

/** Batches that a device let go, and said so: sequences `fromSequence` to `upToSequence` of the stream. */
export interface StreamGapTable {
  workspace: string;
  device: string;
  kind: string;
  bootId: number;
  fromSequence: number;
  upToSequence: number;
  /** As the device gave it; null where it gave none. */
  reason: string | null;
  receivedAt: number;
}

/** One module version of one batch. */
export interface ModuleMetricTable {
  workspace: string;
  device: string;
  /** When the control plane received it, epoch milliseconds; device clocks are not trusted for order. */
  receivedAt: number;
  at: string;
  bootId: number;
  sequence: number;
  module: string;
  version: number;
  digest: string;
  provider: string | null;
  requests: number;
  errorsJson: string;
  /** EncodedSketch. */
  latencyJson: string;
  /** ModuleDetail; null where the device told none. */
  detailJson: string | null;
}

/** What one module version did on one device in one minute or hour, sketches merged. */
export interface ModuleRollupTable {
  workspace: string;
  /** Seconds: 60 or 3600. */
  resolution: number;
  /** Epoch milliseconds, by `receivedAt` of what it is made of. */
  startAt: number;
  device: string;
  module: string;
  version: number;
  digest: string;
  /** Empty where the device named none. */
  provider: string;
  requests: number;
  errorsJson: string;
  latencyJson: string;
  detailJson: string | null;
}

export interface SystemRollupTable {
  workspace: string;
  resolution: number;
  startAt: number;
  device: string;
  readings: number;
  /** SystemGauges. */
  gaugesJson: string;
  /** The last SystemMetrics of the span. */
  lastJson: string;
}

/** How far something has come, by name. */
export interface TelemetryCursorTable {
  name: string;
  value: number;
}

export interface SystemMetricTable {
  workspace: string;
  device: string;
  receivedAt: number;
  at: string;
  bootId: number;
  sequence: number;
  /** SystemMetrics. */
  systemJson: string;
}

export interface DeviceEventTable {
  /** Rises, and is never given twice. */
  id: Generated<number>;
  workspace: string;
  device: string;
  receivedAt: number;
  at: string;
  bootId: number;
  sequence: number;
  position: number;
  level: string;
  type: string;
  module: string | null;
  message: string;
  detailsJson: string | null;
}

export interface TelemetryDatabase {
  streamMarks: StreamMarkTable;
  streamGaps: StreamGapTable;
  moduleMetrics: ModuleMetricTable;
  systemMetrics: SystemMetricTable;
  moduleRollups: ModuleRollupTable;
  systemRollups: SystemRollupTable;
  telemetryCursors: TelemetryCursorTable;
  deviceEvents: DeviceEventTable;
}
