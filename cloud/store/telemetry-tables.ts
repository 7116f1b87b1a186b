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
  deviceEvents: DeviceEventTable;
}
