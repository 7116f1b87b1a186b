/** Telemetry and events of a simulated device: counted each interval, kept in memory, sent in order until they are stored. */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import type { Random } from '#shared/kernel/ids.js';
import type { SimulationProfile } from '#shared/protocol/simulation.js';
import type { Ack, DeviceEvent, StreamKind } from '#shared/protocol/stream.js';
import type { ModuleVersion } from '#agent/serving/module-version.js';
import { StreamSender } from '#agent/telemetry/stream-sender.js';
import type { Conduct } from './conduct.js';
import { MemorySpool } from './memory-spool.js';
import { simulatedBatch } from './simulated-telemetry.js';

export interface StreamParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly bootId: number;
  readonly telemetry: SimulationProfile['telemetry'];
  readonly versions: () => readonly ModuleVersion[];
  readonly generation: () => number;
  readonly conductWith: (image: ModuleVersion['desired']['image']) => Conduct;
  readonly publish: (kind: StreamKind, message: unknown) => Promise<boolean>;
  readonly onError: (error: unknown) => void;
  readonly signal: AbortSignal;
}

export class SimulatedStreams {
  private readonly spools: Readonly<Record<StreamKind, MemorySpool>>;
  private readonly senders: Readonly<Record<StreamKind, StreamSender>>;

  constructor(private readonly parts: StreamParts) {
    const { clock, bootId, onError, publish } = parts;
    this.spools = { telemetry: new MemorySpool(bootId), events: new MemorySpool(bootId) };
    const sender = (kind: StreamKind): StreamSender =>
      new StreamSender(this.spools[kind], { clock, onError, publish: (message) => publish(kind, message) });
    this.senders = { telemetry: sender('telemetry'), events: sender('events') };
  }

  /** Batches that are known to be stored. */
  get stored(): number {
    return this.spools.telemetry.stored + this.spools.events.stored;
  }

  raise(event: Omit<DeviceEvent, 'at'>): void {
    const at = toInstant(this.parts.clock.now());
    this.spools.events.add({ at, events: [{ at, ...event }] });
    this.senders.events.wake();
  }

  /** Ends with the signal. */
  async count(): Promise<void> {
    const { clock, random, telemetry, signal } = this.parts;
    const everyMs = telemetry.intervalSeconds * 1000;
    if (everyMs === 0) return;
    // Spread over the interval, so that the fleet does not speak at once.
    await clock.sleep(random() * everyMs, signal);
    for (let last = clock.monotonic(); !signal.aborted; await clock.sleep(everyMs, signal)) {
      const now = clock.monotonic();
      this.take(now - last);
      last = now;
    }
  }

  linkChanged(up: boolean): void {
    this.senders.telemetry.linkChanged(up);
    this.senders.events.linkChanged(up);
  }

  async acknowledged(kind: Exclude<Ack['kind'], 'reported'>, bootId: number, upTo: number): Promise<void> {
    // They collect nothing.
    if (kind !== 'data') await this.senders[kind].acknowledged(bootId, upTo);
  }

  async stop(): Promise<void> {
    await this.senders.telemetry.stop();
    await this.senders.events.stop();
  }

  private take(intervalMs: number): void {
    const { clock, random, telemetry, versions, generation, conductWith } = this.parts;
    const { requestsPerMinute } = telemetry;
    const interval = { at: toInstant(clock.now()), intervalMs, requestsPerMinute, generation: generation() };
    this.spools.telemetry.add({ ...simulatedBatch(versions(), interval, conductWith, random) });
    this.senders.telemetry.wake();
  }
}
