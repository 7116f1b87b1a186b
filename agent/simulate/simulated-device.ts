/**
 * One simulated device: the session, inbox, reconciler, actions, reporter and command runner of the agent over hosts
 * that only pretend, and a memory that ends with the process.
 */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import type { Random } from '#shared/kernel/ids.js';
import type { Logger } from '#shared/platform/logger.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import type { Desired } from '#shared/protocol/desired.js';
import type { ReportedState } from '#shared/protocol/reported.js';
import type { SimulationGroup, SimulationProfile } from '#shared/protocol/simulation.js';
import { type Ack, ackSchema, type DeviceEvent } from '#shared/protocol/stream.js';
import type { Channel } from '#shared/protocol/topics.js';
import { Background } from '#agent/actions/background.js';
import { createExecutors } from '#agent/actions/executors.js';
import { Fetcher } from '#agent/actions/fetcher.js';
import { KnownVersions } from '#agent/actions/versions.js';
import type { CommandRunner } from '#agent/commands/command-runner.js';
import type { Identity } from '#agent/identity/identity.js';
import { BlockClient } from '#agent/link/block-client.js';
import { DesiredInbox, type Refusal } from '#agent/link/desired-inbox.js';
import { DeviceSession } from '#agent/link/device-session.js';
import { Reporter } from '#agent/link/reporter.js';
import { TrustedTime } from '#agent/link/trusted-clock.js';
import { DeviceState } from '#agent/reconcile/device-state.js';
import { entry } from '#agent/reconcile/observed.js';
import { planDevice } from '#agent/reconcile/plan.js';
import { defaultPolicy } from '#agent/reconcile/policy.js';
import { Reconciler } from '#agent/reconcile/reconciler.js';
import { reportedStateOf } from '#agent/reconcile/report-state.js';
import { nothingCommitted, observedAtStart } from '#agent/store/committed-state.js';
import type { Committed } from '#agent/store/state-documents.js';
import { StreamSender } from '#agent/telemetry/stream-sender.js';
import { type TrustStore, TrustKeeper } from '#agent/trust/trust-keeper.js';
import { agentVersion } from '#agent/version.js';
import { type Conduct, conductWith } from './conduct.js';
import { MemorySpool } from './memory-spool.js';
import { createSimulatedCommands } from './simulated-commands.js';
import { SimulatedHosts } from './simulated-hosts.js';
import { fetchSimulated, imagesInMemory, type VerifiedModules } from './simulated-images.js';
import { simulatedBatch } from './simulated-telemetry.js';

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

export const simulatedCapabilities = {
  agentVersion,
  platform: 'linux-x64',
  cpus: 4,
  memoryBytes: 4 * 1024 ** 3,
  accelerators: ['cpu'],
  hostname: 'simulated',
};

export class SimulatedDevice {
  private readonly stopping = new AbortController();
  private readonly state: DeviceState;
  private readonly hosts: SimulatedHosts;
  private readonly inbox: DesiredInbox;
  private readonly blocks: BlockClient;
  private readonly fetcher: Fetcher;
  private readonly reconciler: Reconciler;
  private readonly reporter: Reporter;
  private readonly trusting: TrustKeeper;
  private readonly commands: CommandRunner;
  private readonly versions: KnownVersions;
  private readonly background: Background;
  private readonly time: TrustedTime;
  private readonly spools: { readonly telemetry: MemorySpool; readonly events: MemorySpool };
  private readonly senders: { readonly telemetry: StreamSender; readonly events: StreamSender };
  private committed: Committed = nothingCommitted;
  private refusal: Refusal | undefined;
  private session: DeviceSession | undefined;

  constructor(private readonly parts: SimulatedDeviceParts) {
    const { clock, random, identity, trust, bootId, profile, modules, counts, note, onBug } = parts;
    const { signal } = this.stopping;
    this.time = new TrustedTime(clock);
    this.background = new Background(onBug);
    this.state = new DeviceState(observedAtStart(nothingCommitted), clock, random);
    this.versions = new KnownVersions(
      () => this.state.desired,
      () => this.committed,
    );
    this.hosts = new SimulatedHosts({
      ...{ clock, random, signal, conductWith: this.conductWith },
      requestsPerMinute: profile.telemetry.requestsPerMinute,
    });
    this.blocks = new BlockClient({
      clock,
      publish: (request) => void this.publish('blocksGet', request),
      firstId: Math.floor(random() * 2 ** 32),
    });
    this.fetcher = new Fetcher({
      fetch: (image, _staged, onProgress, until) =>
        fetchSimulated(
          image,
          { modules, blocks: this.blocks, trust: () => trust.current(), fetch: profile.fetch },
          (progress) => {
            counts.fetchedBytes += progress.bytesFetched;
            onProgress(progress);
          },
          until,
        ),
      onProgress: (track, key, progress) => this.state.take({ kind: 'fetchProgressed', track, key, progress }),
      onDone: (track, key) => this.state.take({ kind: 'staged', track, key }),
      onFailed: (track, key, problem) => {
        note('fetch failed', { module: track, code: problem.code });
        this.state.take({ kind: 'versionFailed', track, key, problem });
      },
      onUnexpected: onBug,
    });
    const executors = createExecutors({
      state: this.state,
      versions: this.versions,
      fetcher: this.fetcher,
      serving: this.hosts,
      images: imagesInMemory(modules),
      committed: {
        change: (make) => {
          const made = make(this.committed);
          if (made !== undefined) this.committed = made.next;
          return Promise.resolve(made?.answer);
        },
      },
      rejections: { record: () => Promise.resolve() },
      probations: { begin: () => Promise.resolve(), end: () => Promise.resolve() },
      background: this.background,
      raise: (event) => this.raise(event),
      pause: (ms) => clock.sleep(ms, signal),
      onHeldUp: onBug,
      sandboxReady: () => Promise.resolve(),
    });
    this.reconciler = new Reconciler({
      state: this.state,
      executors: executors.table,
      policy: defaultPolicy,
      clock,
      random,
      onPlanned: () => this.reporter.wake(),
      onFailure: (_action, error) => onBug(error),
      onBug,
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
    this.inbox = new DesiredInbox(
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
    this.spools = { telemetry: new MemorySpool(bootId), events: new MemorySpool(bootId) };
    const sender = (kind: 'telemetry' | 'events'): StreamSender =>
      new StreamSender(this.spools[kind], {
        clock,
        onError: onBug,
        publish: (message) => {
          counts.batches += 1;
          return this.publish(kind, message);
        },
      });
    this.senders = { telemetry: sender('telemetry'), events: sender('events') };
    this.commands = createSimulatedCommands({
      ...{ clock, identity, time: this.time, onError: onBug },
      directors: () => trust.current().directors,
      isServed: (module) => entry(this.state.observed.serving.set, module) !== undefined,
      restart: (module) => executors.restart(module),
      respond: (response) => {
        counts.commands += 1;
        return this.publish('commandResponse', response, response.id);
      },
      explanation: () => ({ reported: this.reported(), plan: this.plan() }),
    });
    this.state.onChange((fact) => {
      this.reconciler.wake();
      this.reporter.wake();
      if (fact.kind === 'committed') note('committed', { generation: fact.generation });
      if (fact.kind === 'versionFailed') note('failed', { module: fact.track, code: fact.problem.code });
    });
  }

  get connected(): boolean {
    return this.session?.connected ?? false;
  }

  get converged(): boolean {
    return this.state.desired !== undefined && this.plan().converged;
  }

  hasTrack(state: 'rejected' | 'failed'): boolean {
    return Object.values(this.state.observed.tracks).some((track) => track.state === state);
  }

  get storedBatches(): number {
    return this.spools.telemetry.stored + this.spools.events.stored;
  }

  /** Goes online, and from then on does what its group does. */
  start(): void {
    const { clock, random, profile, group } = this.parts;
    const { signal } = this.stopping;
    this.reconciler.wake();
    this.goOnline();
    const { intervalSeconds } = profile.telemetry;
    if (intervalSeconds > 0) {
      this.background.run(async () => {
        // Spread over the interval, so that the fleet does not speak at once.
        await clock.sleep(random() * intervalSeconds * 1000, signal);
        for (let last = clock.monotonic(); !signal.aborted; await clock.sleep(intervalSeconds * 1000, signal)) {
          const now = clock.monotonic();
          this.count(now - last);
          last = now;
        }
      });
    }
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
    await this.reconciler.stop();
    await this.fetcher.stop();
    await this.commands.stop();
    await this.session?.stop();
    await this.senders.telemetry.stop();
    await this.senders.events.stop();
    await this.background.settled();
  }

  private goOnline(): void {
    const { clock, random, logger, identity, trust, bootId, counts } = this.parts;
    this.session = new DeviceSession(
      {
        address: identity,
        urls: [identity.broker.url],
        serverName: identity.broker.serverName,
        proxy: { proxy: undefined, noProxy: '' },
        ...{ bootId, agentVersion, keepaliveSeconds: 60, connectTimeoutMs: 15_000 },
        reconnect: { baseMs: 1_000, maxMs: 60_000 },
      },
      {
        ...{ clock, random, logger, client: () => identity },
        authorities: () => (identity.broker.authority ? [identity.broker.authority] : trust.current().authorities),
        trustedNow: () => this.time.now(),
        onLink: (up) => {
          if (up) counts.connections += 1;
          this.linkChanged(up);
        },
        onMessage: (channel, id, payload) => this.receive(channel, id, payload),
      },
    );
    this.session.start();
  }

  private linkChanged(up: boolean): void {
    const { desired } = this.state;
    this.state.take({ kind: 'linkChanged', up });
    this.blocks.linkChanged(up);
    this.reporter.linkChanged(up);
    this.senders.telemetry.linkChanged(up);
    this.senders.events.linkChanged(up);
    if (!up) return;
    this.trusting.ask();
    void this.publish('desiredGet', { schema: 1, ...(desired ? { generation: desired.generation } : {}) });
  }

  private receive(channel: Channel, id: string | undefined, payload: Buffer): void {
    if (channel === 'desired') this.background.run(() => this.inbox.receive(payload));
    else if (channel === 'reportedGet') this.reporter.wholeAsked();
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
    else this.background.run(() => this.senders[kind].acknowledged(bootId, upTo));
  }

  private accepted(desired: Desired, renewed: boolean): void {
    this.parts.counts.documents += 1;
    this.refusal = undefined;
    if (renewed) this.state.renew(desired);
    else this.state.accept(desired, {});
    const { generation, release } = desired;
    this.parts.note(renewed ? 'renewed' : 'accepted', { generation, release });
    this.reporter.wake();
  }

  private readonly conductWith = (image: { readonly name: string; readonly version: number }): Conduct =>
    conductWith(this.parts.profile, this.parts.group, image);

  private count(intervalMs: number): void {
    const { clock, random, profile } = this.parts;
    const interval = {
      ...{ at: toInstant(clock.now()), intervalMs, requestsPerMinute: profile.telemetry.requestsPerMinute },
      generation: this.state.desired?.generation ?? 0,
    };
    this.spools.telemetry.add({ ...simulatedBatch(this.hosts.versions, interval, this.conductWith, random) });
    this.senders.telemetry.wake();
  }

  private raise(event: Omit<DeviceEvent, 'at'>): void {
    const at = toInstant(this.parts.clock.now());
    this.spools.events.add({ at, events: [{ at, ...event }] });
    this.senders.events.wake();
  }

  private plan() {
    const { desired, observed } = this.state;
    return planDevice({ desired, observed, policy: defaultPolicy, now: this.parts.clock.monotonic() });
  }

  private reported(): ReportedState {
    const { clock } = this.parts;
    const served = Object.entries(this.versions.servedNow).map(([name, { image }]) => {
      const { digest, version } = image;
      return [name, { digest, version, provider: 'cpu', numbers: {} }] as const;
    });
    const committed = Object.entries(this.committed.modules).map(([name, { desired, numbers }]) => {
      const { digest, version } = desired.image;
      return [name, { digest, version, numbers }] as const;
    });
    return reportedStateOf({
      desired: this.state.desired,
      observed: this.state.observed,
      plan: this.plan(),
      offset: clock.now() - clock.monotonic(),
      served: Object.fromEntries(served),
      committed: Object.fromEntries(committed),
      held: {},
      previous: {},
      capabilities: simulatedCapabilities,
      refused: this.refusal,
      scoring: { address: '127.0.0.1', port: 0 },
      trust: { version: this.trusting.current().version, unsigned: [], problem: this.trusting.problem },
    });
  }

  private publish(channel: Channel, message: unknown, id?: string): Promise<boolean> {
    return this.session?.publish(channel, message, id) ?? Promise.resolve(false);
  }
}
