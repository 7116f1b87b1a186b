/** One process of a simulated fleet: its devices from enrolment to goodbye, counted. */
import { accessSync, constants, createWriteStream, mkdirSync, type WriteStream } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '#shared/kernel/clock.js';
import { messageOf } from '#shared/kernel/errors.js';
import { diskError } from '#shared/platform/atomic-file.js';
import { createLogger } from '#shared/platform/logger.js';
import { simulatedName, type SimulationCounts, type SimulationOrder } from '#shared/protocol/simulation.js';
import type { Trust } from '#shared/protocol/trust.js';
import type { GivenIdentity } from '#agent/identity/identity-request.js';
import type { TrustStore } from '#agent/trust/trust-keeper.js';
import { deviceRandom, groupOf } from './conduct.js';
import { enrolAll } from './enrolling.js';
import { IdentityLedger } from './identity-ledger.js';
import { type DeviceCounts, SimulatedDevice } from './simulated-device.js';
import type { VerifiedModules } from './simulated-images.js';

export interface SimulationPorts {
  readonly clock: Clock;
  readonly note: (text: string) => void;
}

export class Simulation {
  private readonly devices: SimulatedDevice[] = [];
  private readonly starting: SimulatedDevice[] = [];
  private readonly stopping = new AbortController();
  private readonly modules: VerifiedModules = new Map();
  private readonly counted: DeviceCounts = {
    ...{ documents: 0, refused: 0, connections: 0, reports: 0, batches: 0, commands: 0, fetchedBytes: 0 },
  };
  private readonly logger = createLogger('simulation', { level: 'silent', pretty: false });
  private readonly log: WriteStream | undefined;
  private readonly troubles = new Set<string>();

  constructor(
    private readonly order: SimulationOrder,
    private readonly ports: SimulationPorts,
  ) {
    this.log = order.log === undefined ? undefined : openLog(order.log, (error) => this.trouble(error));
  }

  /** Ends when all devices are enrolled and were told to connect. @throws AppError */
  async run(): Promise<void> {
    const { order, ports } = this;
    const { clock } = ports;
    const { signal } = this.stopping;
    const ledger =
      order.state === undefined ? undefined : await IdentityLedger.open(order.state, order.process, clock.now());
    const connecting = this.connectInTurn();
    try {
      await enrolAll(order, {
        ...{ clock, ledger, signal, note: ports.note },
        groupOf: (number) => groupOf(order.profile, deviceRandom(order.seed, number)())?.name ?? 'steady',
        onIdentity: (number, given) => this.add(number, given),
      });
    } finally {
      await ledger?.close();
      this.enrolled = true;
    }
    await connecting;
  }

  private enrolled = false;

  counts(): SimulationCounts {
    const { user, system } = process.cpuUsage();
    const count = (is: (device: SimulatedDevice) => boolean): number => this.devices.filter(is).length;
    return {
      devices: Math.ceil(Math.max(0, this.order.end - this.order.first) / this.order.step),
      enrolled: this.devices.length,
      connected: count((device) => device.connected),
      converged: count((device) => device.converged),
      rejected: count((device) => device.hasTrack('rejected')),
      failed: count((device) => device.hasTrack('failed')),
      ...this.counted,
      stored: this.devices.reduce((sum, device) => sum + device.storedBatches, 0),
      rssBytes: process.memoryUsage.rss(),
      cpuSeconds: (user + system) / 1e6,
    };
  }

  /** Every device says goodbye. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.devices.map((device) => device.stop()));
    await new Promise<void>((resolve) => (this.log === undefined ? resolve() : this.log.end(resolve)));
  }

  private add(number: number, { identity, trust, bootIdAbove }: GivenIdentity): void {
    const { order, ports } = this;
    const { clock } = ports;
    const random = deviceRandom(order.seed, number);
    const group = groupOf(order.profile, random());
    const name = simulatedName(order.prefix, number);
    const device = new SimulatedDevice({
      ...{ clock, random, identity, group, logger: this.logger, profile: order.profile, modules: this.modules },
      trust: inMemory(trust),
      // A counter that rises with each start, as far as the clock does.
      bootId: Math.max(bootIdAbove + 1, Math.floor(clock.now() / 1000)),
      counts: this.counted,
      note: (did, details) =>
        this.log?.write(`${JSON.stringify({ at: clock.now(), device: name, did, ...details })}\n`),
      onBug: (error) => this.trouble(error),
    });
    this.devices.push(device);
    this.starting.push(device);
  }

  private async connectInTurn(): Promise<void> {
    const { clock } = this.ports;
    const stepMs = 50;
    const atOnce = Math.max(1, Math.round((this.order.connectPerSecond * stepMs) / 1000));
    while (!this.stopping.signal.aborted && !(this.enrolled && this.starting.length === 0)) {
      for (const device of this.starting.splice(0, atOnce)) device.start();
      await clock.sleep(stepMs, this.stopping.signal);
    }
  }

  /** Said once, however many devices meet it. */
  private trouble(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : messageOf(error);
    if (this.troubles.size > 20 || this.troubles.has(text)) return;
    this.troubles.add(text);
    this.ports.note(`a simulated device met what it should not: ${text}`);
  }
}

/** @throws AppError `disk.failed`; what the disk does not take later is told, and left out */
function openLog(path: string, onError: (error: unknown) => void): WriteStream {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    accessSync(dirname(path), constants.W_OK);
  } catch (error) {
    throw diskError(error, `cannot write what devices do to ${path}`);
  }
  return createWriteStream(path, { flags: 'a', mode: 0o600 }).on('error', onError);
}

function inMemory(trust: Trust): TrustStore {
  let current = trust;
  return {
    current: () => current,
    replace: (next) => {
      current = next;
      return Promise.resolve();
    },
  };
}
