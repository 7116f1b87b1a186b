/**
 * One simulated device: the session, inbox, trust keeper, reporter and command runner of the agent, and what it runs;
 * all of it forgotten when the process ends.
 */
import type { Clock } from '#shared/kernel/clock.js';
import type { Random } from '#shared/kernel/ids.js';
import type { Logger } from '#shared/platform/logger.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import type { Desired } from '#shared/protocol/desired.js';
import type { SimulationGroup, SimulationProfile } from '#shared/protocol/simulation.js';
import { type Ack, ackSchema } from '#shared/protocol/stream.js';
import type { Channel } from '#shared/protocol/topics.js';
import { Background } from '#agent/actions/background.js';
import type { CommandRunner } from '#agent/commands/command-runner.js';
import type { Identity } from '#agent/identity/identity.js';
import { BlockClient } from '#agent/link/block-client.js';
import { chooseVariants } from '#agent/reconcile/choose-variant.js';
import { DesiredInbox, type Refusal } from '#agent/link/desired-inbox.js';
import { DeviceSession } from '#agent/link/device-session.js';
import { Reporter } from '#agent/link/reporter.js';
import { TrustedTime } from '#agent/link/trusted-clock.js';
import { entry } from '#agent/reconcile/observed.js';
import { type TrustStore, TrustKeeper } from '#agent/trust/trust-keeper.js';
import { agentVersion } from '#agent/version.js';
import { conductWith } from './conduct.js';
import { createSimulatedCommands } from './simulated-commands.js';
import type { VerifiedModules } from './simulated-images.js';
import { SimulatedStreams } from './simulated-streams.js';
import { SimulatedWork } from './simulated-work.js';

export interface DeviceCounts {
  documents: number;
  refused: number;
  connections: number;
  reports: number;
  batches: number;
  commands: number;
  fetchedBytes: number;
}

export interface SimulatedDeviceParts {
  readonly clock: Clock;
  readonly random: Random;
  /** Of libraries that log; what devices say goes to `note`. */
  readonly logger: Logger;
  readonly identity: Identity;
  readonly trust: TrustStore;
  readonly bootId: number;
  readonly profile: SimulationProfile;
  readonly group: SimulationGroup | undefined;
  readonly modules: VerifiedModules;
  /** Of all devices of the process. */
  readonly counts: DeviceCounts;
  /** What the device did, for its own log. */
  readonly note: (did: string, details: Readonly<Record<string, unknown>>) => void;
  readonly onBug: (error: unknown) => void;
}

const keepaliveSeconds = 60;
const connectTimeoutMs = 15_000;
const reconnect = { baseMs: 1_000, maxMs: 60_000 };

export class SimulatedDevice {
  private readonly stopping = new AbortController();
  private readonly work: SimulatedWork;
  private readonly streams: SimulatedStreams;
  private readonly inbox: DesiredInbox;
  private readonly blocks: BlockClient;
  private readonly reporter: Reporter;
  private readonly trusting: TrustKeeper;
  private readonly commands: CommandRunner;
  private readonly background: Background;
  private readonly time: TrustedTime;
  private refusal: Refusal | undefined;
  private session: DeviceSession | undefined;

  constructor(private readonly parts: SimulatedDeviceParts) {
    const { clock, random, identity, trust, bootId, profile, group, modules, counts, note, onBug } = parts;
    const { signal } = this.stopping;
    this.time = new TrustedTime(clock);
    this.background = new Background(onBug);
    const conduct = { conductWith: conductWith.bind(undefined, profile, group) };
    this.blocks = new BlockClient({
      clock,
      publish: (request) => void this.publish('blocksGet', request),
      firstId: Math.floor(random() * 2 ** 32),
    });
    this.work = new SimulatedWork({
      ...{ clock, random, profile, trust, modules, note, onBug, signal, ...conduct },
      ...{ blocks: this.blocks, background: this.background },
      onFetched: (bytes) => {
        counts.fetchedBytes += bytes;
      },
      raise: (event) => this.streams.raise(event),
      onChanged: () => this.reporter.wake(),
    });
    this.streams = new SimulatedStreams({
      ...{ clock, random, bootId, telemetry: profile.telemetry, onError: onBug, signal, ...conduct },
      versions: () => this.work.hosts.versions,
      generation: () => this.work.state.desired?.generation ?? 0,
      publish: (kind, message) => {
        counts.batches += 1;
        return this.publish(kind, message);
      },
    });
    this.reporter = new Reporter({
      clock,
      bootId,
      publish: (report) => {
        counts.reports += 1;
        return this.publish('reported', report);
      },
      current: () => this.reported(),
    });
    this.trusting = new TrustKeeper({
      clock,
      workspace: identity.workspace,
      store: trust,
      ask: (request) => void this.publish('trustGet', request),
      onAccepted: () => {
        this.reporter.wake();
        void this.publish('desiredGet', { schema: 1 });
      },
      onRefused: () => this.reporter.wake(),
      signal,
    });
    this.inbox = this.createInbox();
    this.commands = createSimulatedCommands({
      ...{ clock, identity, time: this.time, onError: onBug },
      directors: () => trust.current().directors,
      isServed: (module) => entry(this.work.state.observed.serving.set, module) !== undefined,
      restart: (module) => this.work.restart(module),
      refresh: async () => {
        this.reporter.wholeAsked();
        await this.publish('desiredGet', { schema: 1 });
        return this.work.state.desired?.generation ?? 0;
      },
      respond: (response) => {
        counts.commands += 1;
        return this.publish('commandResponse', response, response.id);
      },
      explanation: () => ({ reported: this.reported(), plan: this.work.plan() }),
    });
  }

  get connected(): boolean {
    return this.session?.connected ?? false;
  }

  get converged(): boolean {
    return this.work.state.desired !== undefined && this.work.plan().converged;
  }

  hasTrack(state: 'rejected' | 'failed'): boolean {
    return Object.values(this.work.state.observed.tracks).some((track) => track.state === state);
  }

  get storedBatches(): number {
    return this.streams.stored;
  }

  /** Goes online, and from then on does what its group does. */
  start(): void {
    const { clock, random, group } = this.parts;
    const { signal } = this.stopping;
    this.work.start();
    this.goOnline();
    this.background.run(() => this.streams.count());
    const away = group?.away;
    if (away === undefined) return;
    const between = ([from, to]: readonly [number, number]): Promise<void> =>
      clock.sleep((from + (to - from) * random()) * 1000, signal);
    this.background.run(async () => {
      while (!signal.aborted) {
        await between(away.afterSeconds);
        if (signal.aborted) return;
        await this.session?.stop();
        await between(away.forSeconds);
        if (!signal.aborted) this.goOnline();
      }
    });
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    this.reporter.stop();
    await this.work.stop();
    await this.commands.stop();
    await this.session?.stop();
    await this.streams.stop();
    await this.background.settled();
  }

  private createInbox(): DesiredInbox {
    const { clock, identity, trust, counts, note } = this.parts;
    return new DesiredInbox(
      {
        clock,
        address: identity,
        directors: () => trust.current().directors,
        onUnknownDirector: () => this.trusting.refresh(),
        persist: (_envelope, desired) => {
          this.time.verified(Date.parse(desired.issuedAt));
          return Promise.resolve();
        },
        onAccepted: (desired, renewed) => this.accepted(desired, renewed),
        onRefused: (refusal) => {
          counts.refused += 1;
          this.refusal = refusal;
          note('refused', { generation: refusal.generation, code: refusal.problem.code });
          this.reporter.wake();
        },
      },
      undefined,
      0,
    );
  }

  private goOnline(): void {
    const { clock, random, logger, identity, trust, bootId, counts, note } = this.parts;
    const { broker } = identity;
    this.session = new DeviceSession(
      {
        ...{ address: identity, urls: [broker.url], serverName: broker.serverName, bootId, agentVersion },
        ...{ keepaliveSeconds, connectTimeoutMs, reconnect, proxy: { proxy: undefined, noProxy: '' } },
      },
      {
        ...{ clock, random, logger, client: () => identity },
        authorities: () => (broker.authority === undefined ? trust.current().authorities : [broker.authority]),
        trustedNow: () => this.time.now(),
        onLink: (up) => {
          if (up) counts.connections += 1;
          note(up ? 'connected' : 'disconnected', {});
          this.linkChanged(up);
        },
        onMessage: (channel, id, payload) => this.receive(channel, id, payload),
      },
    );
    this.session.start();
  }

  private linkChanged(up: boolean): void {
    const { state } = this.work;
    state.take({ kind: 'linkChanged', up });
    this.blocks.linkChanged(up);
    this.reporter.linkChanged(up);
    this.streams.linkChanged(up);
    if (!up) return;
    this.trusting.ask();
    const generation = state.desired?.generation;
    void this.publish('desiredGet', { schema: 1, ...(generation === undefined ? {} : { generation }) });
  }

  private receive(channel: Channel, id: string | undefined, payload: Buffer): void {
    if (channel === 'desired') {
      // Its PUBACK goes out in this turn.
      this.parts.note('received', { bytes: payload.length });
      this.background.run(() => this.inbox.receive(payload));
    } else if (channel === 'reportedGet') this.reporter.wholeAsked();
    else if (channel === 'blocksData') this.blocks.receive(payload);
    else if (channel === 'trustData') this.background.run(() => this.trusting.receive(payload));
    else if (channel === 'commandRequest' && id !== undefined) this.commands.receive(id, payload);
    else if (channel === 'acks') {
      const ack = decodeMessage(ackSchema, payload);
      if (ack.ok) this.acknowledged(ack.value);
    }
  }

  private acknowledged({ kind, bootId, upTo }: Ack): void {
    if (kind === 'reported') this.reporter.acknowledged(bootId, upTo);
    else this.background.run(() => this.streams.acknowledged(kind, bootId, upTo));
  }

  private accepted(given: Desired, renewed: boolean): void {
    const desired = chooseVariants(given, ['cpu']);
    const { counts, note } = this.parts;
    counts.documents += 1;
    this.refusal = undefined;
    if (renewed) this.work.state.renew(desired);
    else this.work.state.accept(desired, {});
    const { generation, release } = desired;
    note(renewed ? 'renewed' : 'accepted', { generation, release });
    this.reporter.wake();
  }

  private reported() {
    const { trusting, refusal } = this;
    const trust = { version: trusting.current().version, unsigned: [], problem: trusting.problem };
    return this.work.reported({ refused: refusal, trust });
  }

  private publish(channel: Channel, message: unknown, id?: string): Promise<boolean> {
    return this.session?.publish(channel, message, id) ?? Promise.resolve(false);
  }
}
