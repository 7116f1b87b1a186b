/** Telemetry and events of one boot, wired: what is counted goes to disk, and from there to the control plane. */
import type { Clock } from '#shared/kernel/clock.js';
import type { DeviceEvent, StreamKind } from '#shared/protocol/stream.js';
import type { StateFolder } from '#agent/store/state-folder.js';
import { Collector, type CollectorPorts, type ModuleStats } from '#agent/telemetry/collector.js';
import { EventLog } from '#agent/telemetry/event-log.js';
import { GpuReader } from '#agent/telemetry/gpu-metrics.js';
import { Spool } from '#agent/telemetry/spool.js';
import { StreamSender } from '#agent/telemetry/stream-sender.js';
import { readSystemMetrics } from '#agent/telemetry/system-metrics.js';

export interface TelemetryParts {
  readonly clock: Clock;
  readonly folder: StateFolder;
  readonly bootId: number;
  readonly intervalMs: number;
  readonly maxSpoolBytes: number;
  readonly generation: () => number;
  readonly hostStats: CollectorPorts['hostStats'];
  readonly publish: (channel: StreamKind, message: unknown) => Promise<boolean>;
  readonly onError: (error: unknown) => void;
}

export interface Telemetry {
  readonly raise: (event: Omit<DeviceEvent, 'at'>) => void;
  readonly addLast: (modules: ModuleStats) => Promise<void>;
  start(): void;
  linkChanged(up: boolean): void;
  acknowledged(kind: StreamKind, bootId: number, upTo: number): void;
  sizes(): Record<StreamKind, { readonly batches: number; readonly bytes: number }>;
  /** The last interval is taken while the hosts still answer. */
  stopCollecting(): Promise<void>;
  stop(): Promise<void>;
}

export async function createTelemetry(parts: TelemetryParts): Promise<Telemetry> {
  const { clock, folder, bootId, onError } = parts;
  const spoolOf = (kind: StreamKind, maxBytes: number): Promise<Spool> =>
    Spool.open({
      kind,
      folder: folder.spool(kind),
      bootId,
      maxBytes,
      onDropped: (from, count) => {
        // Dropping events must not make more of them than it drops.
        if (kind === 'telemetry') {
          events.raise({
            level: 'warn',
            type: 'telemetry.dropped',
            message: `${String(count)} batches were dropped for want of room`,
            details: { ...from, count },
          });
        }
      },
    });
  const spools = {
    telemetry: await spoolOf('telemetry', parts.maxSpoolBytes),
    events: await spoolOf('events', Math.max(64 * 1024, Math.floor(parts.maxSpoolBytes / 4))),
  };
  const senderOf = (kind: StreamKind): StreamSender =>
    new StreamSender(spools[kind], { clock, onError, publish: (message) => parts.publish(kind, message) });
  const senders = { telemetry: senderOf('telemetry'), events: senderOf('events') };
  const events = new EventLog({ clock, spool: spools.events, onSpooled: () => senders.events.wake(), onError });
  const gpus = new GpuReader({ clock });
  const collector = new Collector(
    {
      clock,
      spool: spools.telemetry,
      generation: parts.generation,
      hostStats: parts.hostStats,
      system: (hostsRssBytes) => readSystemMetrics(folder.root, hostsRssBytes, gpus),
      onSpooled: () => senders.telemetry.wake(),
      onError,
    },
    parts.intervalMs,
  );
  return {
    raise: (event) => events.raise(event),
    addLast: (modules) => collector.addLast(modules),
    start: () => collector.start(),
    linkChanged: (up) => {
      senders.telemetry.linkChanged(up);
      senders.events.linkChanged(up);
    },
    acknowledged: (kind, boot, upTo) => void senders[kind].acknowledged(boot, upTo).catch(onError),
    sizes: () => ({ telemetry: spools.telemetry.size, events: spools.events.size }),
    stopCollecting: () => collector.stop(),
    stop: async () => {
      await events.stop();
      await senders.telemetry.stop();
      await senders.events.stop();
    },
  };
}
