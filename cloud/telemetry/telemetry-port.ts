/** The telemetry store as its callers see it: in a worker in production, in place in tests. All plain data. */
import type { Ack, DeviceEvent, StreamKind, SystemMetrics } from '#shared/protocol/stream.js';
import type { ShadowMetrics } from '#shared/protocol/shadow.js';
import type { Sketch } from '#shared/protocol/sketch.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { ModuleNumbers } from './cohort-numbers.js';
import type { Metric } from './metric.js';
import type { Retention, Thinned } from './retention.js';
import type { RolledUp } from './roll-up.js';

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

export type Quantiles = Record<'p50' | 'p90' | 'p99' | 'max' | 'mean', number | null>;

/** What one input or output was like, of the requests that were looked at. */
export interface TensorTelemetry {
  readonly side: 'input' | 'output';
  readonly name: string;
  readonly elements: number;
  readonly missing: number;
  /** Of numbers. */
  readonly numbers?: Record<'nan' | 'infinite', number> &
    Record<'min' | 'max' | 'mean' | 'p10' | 'p50' | 'p90', number | null>;
  /** Of categories: the most frequent first. */
  readonly categories?: { readonly value: string; readonly count: number }[];
}

/** How a version that got copies compared with the one that answered. */
export interface ShadowTelemetry extends Omit<ShadowMetrics, 'liveLatencyMs' | 'shadowLatencyMs'> {
  /** Of the same requests. */
  readonly liveMs: Quantiles;
  readonly shadowMs: Quantiles;
}

export interface ModuleTelemetry {
  readonly module: string;
  readonly version: number;
  readonly digest: string;
  readonly provider?: string;
  readonly requests: number;
  readonly errors: Record<string, number>;
  readonly latencyMs: Quantiles;
  /** Where the device told them. */
  readonly queueMs?: Quantiles;
  readonly computeMs?: Quantiles;
  readonly tensors?: TensorTelemetry[];
  readonly shadows?: ShadowTelemetry[];
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

export type SeriesKey = 'device' | 'module' | 'version';

/** One metric over time. Instants are epoch milliseconds by the control plane's clock. */
export interface SeriesQuestion {
  readonly workspace: string;
  readonly metric: Metric;
  readonly fromMs: number;
  readonly toMs: number;
  /** At least a minute. */
  readonly stepMs: number;
  /** A line for each; absent: one for all. */
  readonly by?: SeriesKey | undefined;
  readonly device?: string | undefined;
  /** All its deployments. */
  readonly endpoint?: string | undefined;
  readonly module?: string | undefined;
  readonly version?: number | undefined;
}

export interface Series {
  /** The device, the module, or module:version; empty where it is the line of all. */
  readonly key: string;
  /** One for each step; null where nothing was told. */
  readonly values: readonly (number | null)[];
  /** What they rest on: requests, runs, elements, or readings. */
  readonly samples: number;
}

export interface SeriesAnswer {
  /** As it was read: a step begins with its minute or hour. */
  readonly fromMs: number;
  readonly stepMs: number;
  /** Seconds that what it is made of stands for. */
  readonly resolution: number;
  readonly series: readonly Series[];
  /** Lines that were too many to tell. */
  readonly leftOff: number;
}

/** Instants are epoch milliseconds by the control plane's clock, when batches came. */
export interface CohortDevice {
  readonly device: string;
  readonly fromMs: number;
  /** Absent: no end. Taken down to its minute. */
  readonly toMs?: number | undefined;
  /** Versions of the module; of others nothing is counted. */
  readonly digests: readonly string[];
  /** While only these versions were there, so that readings of the machine are theirs; absent: never. */
  readonly settled?: { readonly fromMs: number; readonly toMs?: number | undefined } | undefined;
}

/** What versions of one module did on some devices, each over a span of its own. */
export interface CohortQuestion {
  readonly workspace: string;
  readonly module: string;
  /** Some fifty: other questions wait for it. */
  readonly devices: readonly CohortDevice[];
  /** Readings of the machine too. */
  readonly machine: boolean;
}

/** What shadows of one module compared, each with what answered on its device. */
export interface ShadowQuestion {
  readonly workspace: string;
  readonly module: string;
  /** Some fifty: other questions wait for it. */
  readonly devices: readonly {
    readonly device: string;
    /** Epoch milliseconds by the control plane's clock. */
    readonly fromMs: number;
    /** Of the shadow, and the word under which it is told. */
    readonly digest: string;
    readonly tag: string;
  }[];
}

export interface ShadowAnswer {
  /** Undefined: nothing was told. */
  readonly sum: ShadowMetrics | undefined;
  /** Devices that told something. */
  readonly told: number;
}

/** Deployments of an endpoint, all or one; or devices. */
export type SideQuestion =
  | { readonly endpoint: string; readonly deployment?: string | undefined }
  | { readonly devices: readonly string[] };

/** What some images did in several places, over the same span. */
export interface SidesQuestion {
  readonly workspace: string;
  /** Epoch milliseconds by the control plane's clock; taken down to a minute, or to an hour where the span is long. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly digests: readonly string[];
  readonly sides: readonly SideQuestion[];
}

export interface ComparedImage {
  readonly digest: string;
  readonly module: string;
  readonly version: number;
  /** Without readings of machines. */
  readonly numbers: ModuleNumbers;
  /** Milliseconds, of runs of its models. */
  readonly compute: Sketch;
}

export interface SideAnswer {
  /** The one with most requests first. */
  readonly images: readonly ComparedImage[];
  /** Deployments or devices that told something of them. */
  readonly told: number;
  /** Of requests to others that these images got copies of, and how their answers compared. */
  readonly copies?: {
    readonly compared: number;
    readonly agreed: number;
    readonly uncompared: number;
    /** Only these failed. */
    readonly errors: number;
    readonly dropped: number;
    readonly largestDifference?: number;
  };
}

export interface SidesAnswer {
  readonly fromMs: number;
  /** In the order of the question. */
  readonly sides: readonly SideAnswer[];
}

export interface NewEventsQuestion {
  readonly workspace: string;
  /** `upTo` of the answer before. */
  readonly after: number;
  readonly limit: number;
}

export interface NewEvents {
  readonly events: readonly (StoredEvent & { readonly device: string; readonly id: number })[];
  /** The last event there ever was, of any workspace; a number is never given twice. */
  readonly newest: number;
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

/** Answered beside what is stored meanwhile, from what was committed before. */
export interface TelemetryQuestions {
  telemetry(question: TelemetryQuestion): Promise<TelemetryAnswer>;
  events(question: EventsQuestion): Promise<EventsAnswer>;
  series(question: SeriesQuestion): Promise<SeriesAnswer>;
  cohort(question: CohortQuestion): Promise<ModuleNumbers>;
  shadows(question: ShadowQuestion): Promise<ShadowAnswer>;
  sides(question: SidesQuestion): Promise<SidesAnswer>;
  /** In the order in which they were stored. */
  newEvents(question: NewEventsQuestion): Promise<NewEvents>;
  close(): Promise<void>;
}

export interface TelemetryPort extends TelemetryQuestions {
  /** Resolves after the commit. */
  ingest(batches: readonly ReceivedBatch[]): Promise<IngestResult>;
  /** A step of summing up; what is new is told once. */
  rollUp(): Promise<RolledUp>;
  /** A step of forgetting by kind and age, and by size. */
  thin(retention: Retention): Promise<Thinned>;
  /** Removes rows received before the instant; marks stay. @returns rows removed */
  prune(beforeMs: number): Promise<number>;
  /** Removes all that devices of the workspace ever said, marks included: a later one of this name starts anew. */
  eraseWorkspace(workspace: string): Promise<void>;
}
