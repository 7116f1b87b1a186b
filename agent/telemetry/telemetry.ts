/** What one boot tells, wired: what is counted, and collected, goes to disk, and from there to the control plane. */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import type { Desired } from '#shared/protocol/desired.js';
import type { DeviceEvent, SpooledKind, StreamKind } from '#shared/protocol/stream.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { CollectSettings } from '#agent/collect/collect-settings.js';
import { DataCollection } from '#agent/collect/data-collection.js';
import type { StateFolder } from '#agent/store/state-folder.js';
import { emptyBatch } from '#agent/telemetry/batch-content.js';
import { Collector, type CollectorPorts, type ModuleStats } from '#agent/telemetry/collector.js';
import { EventLog } from '#agent/telemetry/event-log.js';
import { GpuReader } from '#agent/telemetry/gpu-metrics.js';
import { removeOldestSample } from '#agent/telemetry/oldest-sample.js';
import { type Dropped, Spool } from '#agent/telemetry/spool.js';
import { StreamSender } from '#agent/telemetry/stream-sender.js';
import { readSystemMetrics } from '#agent/telemetry/system-metrics.js';
import { TemperatureReader } from '#agent/telemetry/temperature.js';

export interface TelemetryParts {
  readonly clock: Clock;
  readonly folder: StateFolder;
  readonly address: DeviceAddress;
  readonly collect: CollectSettings;
  readonly desired: () => Desired | undefined;
  readonly bootId: number;
  readonly intervalMs: number;
  /** For telemetry and events together. */
  readonly maxSpoolBytes: number;
  readonly maxAgeSeconds: Readonly<Record<StreamKind, number>>;
  /** The device's age clock, in seconds. */
  readonly lived: () => number;
  readonly generation: () => number;
  readonly hostStats: CollectorPorts['hostStats'];
  readonly routeMetrics: NonNullable<CollectorPorts['routeMetrics']>;
  readonly publish: (channel: SpooledKind, message: unknown) => Promise<boolean>;
  readonly onError: (error: unknown) => void;
}

export interface Telemetry {
  readonly raise: (event: Omit<DeviceEvent, 'at'>) => void;
  readonly addLast: (modules: ModuleStats) => Promise<void>;
  start(): void;
  linkChanged(up: boolean): void;
  acknowledged(kind: SpooledKind, bootId: number, upTo: number): void;
  sizes(): Record<StreamKind, { readonly batches: number; readonly bytes: number }>;
  /** The last interval is taken while the hosts still answer. */
  stopCollecting(): Promise<void>;
  stop(): Promise<void>;
}

/** Of the room for both. */
const eventShare = 1 / 4;
const leastEventBytes = 64 * 1024;

export async function createTelemetry(parts: TelemetryParts): Promise<Telemetry> {
  const { clock, folder, bootId, onError } = parts;
  const openSpool = (kind: StreamKind, maxBytes: number, makeRoom: () => Promise<boolean>): Promise<Spool> =>
    Spool.open({
      kind,
      folder: folder.spool(kind),
      bootId,
      maxBytes,
      maxAgeSeconds: parts.maxAgeSeconds[kind],
      lived: parts.lived,
      emptyBatch: () => emptyBatch(kind, toInstant(clock.now())),
      onDropped: (dropped) => {
        // Dropping events must not make more of them than it drops.
        if (kind === 'telemetry') events.raise(droppedEvent(dropped));
      },
      makeRoom,
    });
  const eventBytes = Math.max(leastEventBytes, Math.floor(parts.maxSpoolBytes * eventShare));
  // On a full disk samples make way for telemetry, and telemetry for events.
  const samples = [folder.capture, folder.collect, folder.spool('data')];
  const dropSample = async (): Promise<boolean> => {
    for (const each of samples) if (await removeOldestSample(each)) return true;
    return false;
  };
  const telemetrySpool = await openSpool('telemetry', parts.maxSpoolBytes - eventBytes, dropSample);
  const eventSpool = await openSpool(
    'events',
    eventBytes,
    async () => (await dropSample()) || telemetrySpool.dropOldest('room'),
  );
  const eventSender = new StreamSender(eventSpool, {
    clock,
    onError,
    publish: (message) => parts.publish('events', message),
    onIdle: () => telemetrySender.wake(),
  });
  const telemetrySender = new StreamSender(telemetrySpool, {
    clock,
    onError,
    publish: (message) => parts.publish('telemetry', message),
    mayGo: () => eventSender.isIdle,
  });
  const spools = { telemetry: telemetrySpool, events: eventSpool };
  const senders = { telemetry: telemetrySender, events: eventSender };
  const events = new EventLog({ clock, spool: spools.events, onSpooled: () => senders.events.wake(), onError });
  const gpus = new GpuReader({ clock });
  const temperatures = new TemperatureReader(clock, async () => {
    const { default: si } = await import('systeminformation');
    return si.cpuTemperature();
  });
  const collector = new Collector(
    {
      clock,
      spool: spools.telemetry,
      generation: parts.generation,
      hostStats: parts.hostStats,
      routeMetrics: parts.routeMetrics,
      system: (hostsRssBytes) => readSystemMetrics(folder.root, hostsRssBytes, gpus, temperatures),
      onSpooled: () => senders.telemetry.wake(),
      onError,
    },
    parts.intervalMs,
  );
  const collection = await DataCollection.open({
    ...{ clock, folder, address: parts.address, bootId, collect: parts.collect, desired: parts.desired, onError },
    mayGo: () => senders.telemetry.isIdle && senders.events.isIdle,
    publish: (message) => parts.publish('data', message),
    raise: (event) => events.raise(event),
  });
  return {
    raise: (event) => events.raise(event),
    addLast: (modules) => collector.addLast(modules),
    start: () => {
      collector.start();
      collection.start();
    },
    linkChanged: (up) => {
      senders.telemetry.linkChanged(up);
      senders.events.linkChanged(up);
      collection.linkChanged(up);
    },
    acknowledged: (kind, boot, upTo) => {
      if (kind === 'data') collection.acknowledged(boot, upTo);
      else senders[kind].acknowledged(boot, upTo).catch(onError);
    },
    sizes: () => ({ telemetry: spools.telemetry.size, events: spools.events.size }),
    stopCollecting: () => collector.stop(),
    stop: async () => {
      await collection.stop();
      await events.stop();
      await senders.telemetry.stop();
      await senders.events.stop();
      for (const spool of [telemetrySpool, eventSpool]) await spool.close();
    },
  };
}

const reasonTexts = {
  room: 'for want of room',
  age: 'since they were too old',
  damage: 'since they were damaged on disk',
};

function droppedEvent({ bootId, from, sequence, reason }: Dropped): Omit<DeviceEvent, 'at'> {
  return {
    level: 'warn',
    type: 'telemetry.dropped',
    message: `${String(sequence - from + 1)} batches of telemetry were dropped ${reasonTexts[reason]}`,
    details: { bootId, from, upTo: sequence, reason },
  };
}
