/**
 * The service host: keeps one document, and brings the replicas of this machine to what it says. Observe, plan,
 * execute, and again until nothing is left to do; then it sleeps until something happens, or is due.
 */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { Random } from '#shared/kernel/ids.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { SandboxCapabilities } from '#shared/protocol/sandbox.js';
import type { Logger } from '#shared/platform/logger.js';
import { SingleFlight } from '#shared/platform/single-flight.js';
import type { DesiredDeployment, DesiredEndpoint, DesiredServices } from '../desired-services.js';
import type { ServicesStatus } from '../services-status.js';
import type { CollectedData } from './collected-data.js';
import { logFact } from './fact-log.js';
import { frontTableOf } from './front-table-of.js';
import type { FrontPort } from './front-port.js';
import type { HostDocuments } from './host-documents.js';
import { LoadWatch } from './load-watch.js';
import {
  keyOf,
  nothingObserved,
  observe,
  type ObservedServices,
  type ReplicaOf,
  type ServiceFact,
  versionOf,
} from './observed.js';
import { planServices, type ServicePlan, type ServicePolicy } from './plan.js';
import { ReplicaLogs } from './replica-logs.js';
import type { ReadyImage, ReplicaRuntime } from './replica-runtime.js';
import { Replicas } from './replicas.js';
import type { ServiceImages } from './service-images.js';
import type { HandedTrust, ServicesTrust } from './services-trust.js';
import { endpointStatuses } from './status-of.js';
import { HostTelemetry } from './telemetry/host-telemetry.js';
import type { ToldDocument } from './telemetry/told-document.js';

export interface ServiceHostPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly version: string;
  /** Where the front answers. */
  readonly url: () => string;
  readonly documents: HostDocuments;
  readonly told: ToldDocument;
  readonly trust: ServicesTrust;
  readonly images: ServiceImages;
  readonly runtime: ReplicaRuntime;
  readonly front: FrontPort;
  readonly collected: Pick<CollectedData, 'apply' | 'look' | 'folderOf'>;
  /** What bounds of user code this machine can enforce; undefined until some was to run. */
  readonly sandbox: () => SandboxCapabilities | undefined;
  readonly policy: ServicePolicy;
  readonly drainMs: number;
  /** How often the load is looked at, where something scales by it. */
  readonly loadEveryMs: number;
}

/** A plan that asks for this many rounds without pause is at odds with what executes it. */
const maxRounds = 20;
const pauseAfterBugMs = 30_000;

export class ServiceHost {
  readonly logs: ReplicaLogs;
  readonly telemetry: HostTelemetry;
  private desired: DesiredServices | undefined;
  private observed: ObservedServices = nothingObserved;
  private readonly flight: SingleFlight;
  private readonly replicas: Replicas;
  private readonly load: LoadWatch;
  private readonly startedAt: number;
  private readonly stopping = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private tableIsOld = false;
  private garbage = true;
  private lastPlan: ServicePlan = { actions: [], waiting: [] };

  constructor(private readonly ports: ServiceHostPorts) {
    const { clock, random, runtime, front, drainMs, logger, told } = ports;
    const onBug = (error: unknown): void => logger.error({ err: error }, 'a bug in the service host');
    this.startedAt = clock.now();
    this.logs = new ReplicaLogs(() => clock.now());
    this.load = new LoadWatch((endpoint, deployment) => front.numbers(endpoint, deployment));
    this.replicas = new Replicas({
      ...{ clock, random, runtime, front, drainMs, onBug, logs: this.logs },
      image: (of, spec) => this.image(of, spec),
      labels: (of) => this.labels(of),
      collectFolder: (of) => ports.collected.folderOf(of),
      tell: (fact) => this.take(fact),
      onMetrics: (of, module, metrics) => this.telemetry.replicaTold(of, module, metrics),
    });
    this.telemetry = new HostTelemetry({
      ...{ clock, front, document: told },
      askReplicas: () => this.replicas.askMetrics(),
      endpoint: (id) => this.desired?.endpoints.find((one) => one.id === id),
      generation: () => this.generation,
    });
    this.flight = new SingleFlight(
      () => this.run(),
      (error) => {
        onBug(error);
        this.wakeAfter(pauseAfterBugMs);
      },
    );
  }

  /** Goes on by what it was told before, if anything. */
  async start(): Promise<void> {
    const { documents, trust, runtime, front } = this.ports;
    await trust.open();
    const { desired, kept } = await documents.read();
    this.desired = desired;
    this.observed = { ...nothingObserved, kept };
    await runtime.clear();
    await this.ports.collected.apply(desired, []);
    await this.telemetry.start();
    front.onNeed((endpoint, deployment) => {
      this.load.need(endpoint, deployment);
      this.flight.wake();
    });
    front.onSick((replica, why) => {
      this.ports.logger.warn({ replica, why }, 'the front cannot use a replica');
      this.replicas.lookNow(replica);
    });
    this.forgetOthers();
    this.renewTable();
    this.flight.wake();
  }

  /**
   * Durable when it resolves.
   *
   * @throws AppError `desired.older-generation`, `desired.same-generation`, `disk.*`: what was desired before stays
   */
  async apply(desired: DesiredServices): Promise<void> {
    const before = this.desired;
    if (before !== undefined && desired.generation <= before.generation) {
      if (sameServices(desired, before)) return;
      const isSame = desired.generation === before.generation;
      throw new AppError(
        isSame ? 'desired.same-generation' : 'desired.older-generation',
        `the service host works by generation ${String(before.generation)}, and ${isSame ? 'was given another one of the same number' : `was given ${String(desired.generation)}`}: give it one that is above`,
        { details: { generation: before.generation } },
      );
    }
    await this.ports.documents.writeDesired(desired);
    this.desired = desired;
    await this.ports.collected.apply(desired, this.replicas.specs);
    this.forgetOthers();
    this.renewTable();
    this.flight.wake();
  }

  /** What is collected is kept within its bounds. */
  async lookAtCollected(): Promise<void> {
    await this.ports.collected.look(this.desired);
  }

  /** What publishers say of each other; `refused` did not count, and changed nothing. */
  async trust(handed: HandedTrust): Promise<{ readonly refused: readonly string[] }> {
    const { trust, logger } = this.ports;
    const { changed, refused } = await trust.take(handed);
    for (const { message } of refused) logger.warn(message);
    if (changed) this.take({ kind: 'trusted' });
    return { refused: refused.map(({ message }) => message) };
  }

  get generation(): number {
    return this.desired?.generation ?? 0;
  }

  async status(): Promise<ServicesStatus> {
    const { clock, version, url, front, policy } = this.ports;
    const sizes = await this.replicas.residentBytes();
    const [now, monotonic] = [clock.now(), clock.monotonic()];
    const sandbox = this.ports.sandbox();
    return {
      schema: 1,
      generation: this.generation,
      version,
      startedAt: toInstant(this.startedAt),
      url: url(),
      ...(sandbox === undefined ? {} : { sandbox }),
      endpoints: endpointStatuses(this.desired, {
        observed: this.observed,
        policy,
        numbers: (endpoint, deployment) => front.numbers(endpoint, deployment),
        processOf: (sequence) => this.replicas.processOf(sequence),
        residentBytesOf: (sequence) => sizes.get(sequence),
        instantOf: (at) => toInstant(now - (monotonic - at)),
      }),
    };
  }

  /** What was planned last, for who asks why nothing happens. */
  get plan(): ServicePlan {
    return this.lastPlan;
  }

  /** Answers what is under way, then ends every replica. */
  async stop(): Promise<void> {
    const { front, drainMs } = this.ports;
    this.stopping.abort();
    clearTimeout(this.timer);
    await this.flight.stop();
    await front.close(drainMs);
    this.replicas.endAll(drainMs);
    await this.replicas.ended();
    await this.telemetry.stop();
  }

  private take(fact: ServiceFact): void {
    const before = this.observed;
    this.observed = observe(before, fact);
    logFact(this.ports.logger, fact, this.observed);
    if (fact.kind === 'gone') this.garbage = true;
    if (this.observed.kept !== before.kept) {
      this.garbage = true;
      const { documents, logger } = this.ports;
      documents.writeKept(this.observed.kept).catch((error: unknown) => {
        // It costs a return to the version before, should the next one fail after a restart.
        logger.error({ err: error }, 'what runs cannot be remembered');
      });
    }
    this.renewTable();
    this.flight.wake();
  }

  private async run(): Promise<void> {
    const { clock, policy } = this.ports;
    clearTimeout(this.timer);
    for (let round = 0; round < maxRounds && !this.stopping.signal.aborted; round++) {
      const nowMs = clock.monotonic();
      this.lookAtLoad(nowMs);
      const plan = planServices(this.desired, this.observed, nowMs, policy);
      this.lastPlan = plan;
      for (const action of plan.actions) this.replicas.execute(action, this.observed.replicas);
      if (plan.actions.length > 0) continue;
      await this.collectGarbage();
      this.sleepUntilDue(plan, nowMs);
      return;
    }
    this.wakeAfter(this.ports.loadEveryMs);
  }

  private lookAtLoad(nowMs: number): void {
    for (const [key, replicas] of this.load.look(this.desired, nowMs)) {
      if (this.observed.wanted[key] === replicas) continue;
      this.observed = observe(this.observed, { kind: 'wanted', key, replicas });
    }
  }

  private sleepUntilDue({ waiting }: ServicePlan, nowMs: number): void {
    const due = waiting.flatMap(({ atMs }) => (atMs === undefined ? [] : [atMs - nowMs]));
    const scales = this.desired?.endpoints.some(({ deployments }) => deployments.some(isAuto)) === true;
    if (scales) due.push(this.ports.loadEveryMs);
    if (due.length > 0) this.wakeAfter(Math.min(...due));
  }

  private wakeAfter(ms: number): void {
    clearTimeout(this.timer);
    if (this.stopping.signal.aborted) return;
    this.timer = setTimeout(() => this.flight.wake(), Math.min(Math.max(1, ms), 2 ** 31 - 1));
  }

  /** Many facts of one moment are one table. */
  private renewTable(): void {
    if (this.tableIsOld) return;
    this.tableIsOld = true;
    queueMicrotask(() => {
      this.tableIsOld = false;
      this.ports.front.apply(frontTableOf(this.desired, this.replicas.addressed(this.observed.replicas)));
    });
  }

  private forgetOthers(): void {
    const all = (this.desired?.endpoints ?? []).flatMap(({ id, deployments }) =>
      deployments.map((spec) => ({ key: keyOf({ endpoint: id, deployment: spec.name }), spec })),
    );
    const keys = new Set(all.map(({ key }) => key));
    const versions = new Set(all.map(({ key, spec }) => `${key}/${versionOf(spec)}`));
    this.garbage = true;
    this.logs.forget((key) => keys.has(key));
    this.take({ kind: 'desired', keys, versions });
  }

  private async image(of: ReplicaOf, spec: DesiredDeployment): Promise<ReadyImage> {
    const endpoint = this.endpointOf(of);
    // It is gone from the document: so is the replica, in a moment.
    if (endpoint === undefined) throw new AppError('request.aborted', 'its endpoint was deleted');
    const kept = this.observed.kept[keyOf(of)];
    const ranBefore = kept !== undefined && kept.image.digest === spec.image.digest;
    return this.ports.images.open(endpoint.workspace, spec.image, ranBefore);
  }

  private labels(of: ReplicaOf): Record<string, string> {
    const { deployment, revision } = of;
    const endpoint = this.endpointOf(of);
    return { ...(endpoint && { endpoint: endpoint.name }), deployment, revision: String(revision) };
  }

  private endpointOf({ endpoint }: ReplicaOf): DesiredEndpoint | undefined {
    return this.desired?.endpoints.find(({ id }) => id === endpoint);
  }

  /** Of images that nobody wants; not while one is being opened. None is before this is over. */
  private async collectGarbage(): Promise<void> {
    if (!this.garbage || this.observed.replicas.some(({ state }) => state === 'starting')) return;
    this.garbage = false;
    const { images, runtime, logger } = this.ports;
    const desired = (this.desired?.endpoints ?? []).flatMap(({ deployments }) => deployments);
    const wanted = [...desired, ...Object.values(this.observed.kept), ...this.replicas.specs];
    try {
      await images.collect(wanted.map(({ image }) => image));
      await runtime.collect(wanted.map(({ image }) => image.digest));
    } catch (error) {
      logger.error({ err: error }, 'images that nobody wants cannot be removed');
    }
  }
}

function isAuto({ scale }: DesiredDeployment): boolean {
  return scale.kind === 'auto';
}

/** Whatever the instant at which it was written. */
function sameServices(a: DesiredServices, b: DesiredServices): boolean {
  return canonicalJson({ ...a, issuedAt: '' }) === canonicalJson({ ...b, issuedAt: '' });
}
