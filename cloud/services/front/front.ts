/**
 * The one address of all endpoints (decision 0043): checks who calls, chooses a deployment and in it a replica, and lets
 * bytes through. It holds no state but its numbers: what there is comes by {@link Front.apply}, whole, as often as it changes.
 */
import { AppError } from '#shared/kernel/errors.js';
import type { Clock } from '#shared/kernel/clock.js';
import type { NewId, Random } from '#shared/kernel/ids.js';
import type { Logger } from '#shared/platform/logger.js';
import type { Family } from '#shared/platform/exposition.js';
import { type BodyPace, defaultPace } from '#shared/scoring/body-pace.js';
import { acceptableId } from '#shared/scoring/host/request-id.js';
import type { DeploymentNumbers } from '../services-status.js';
import type { Caller } from './caller.js';
import type { FrontNames } from './caller-access.js';
import type { Choice, EndpointRoutes } from './endpoint-routes.js';
import { Exchange } from './exchange.js';
import { frontFamilies } from './front-metrics.js';
import { faceAt, type FrontPath, readFrontPath } from './front-path.js';
import { type FrontAddress, FrontServer, type ListenOptions, type TlsFiles } from './front-server.js';
import type { FrontTable } from './front-table.js';
import { type Copy, Mirror, type MirrorBounds, type MirrorDrop, type MirroredPair, usualBounds } from './mirror.js';
import { answerRefusal, deploymentHeader, methods } from './refusal.js';
import { type DeploymentImageNumbers, RoutingTable } from './routing-table.js';

export interface FrontOptions {
  readonly clock: Clock;
  readonly newId: NewId;
  readonly random: Random;
  readonly log: Logger;
  /** Of a request. */
  readonly maxBodyBytes: number;
  /** By which endpoints without keys may be asked, besides loopback. */
  readonly names: FrontNames;
  /** How slowly the beginning of a body may come; absent: `defaultPace`. */
  readonly pace?: BodyPace;
  readonly mirror?: Partial<MirrorBounds>;
}

export class Front {
  private readonly routes: RoutingTable;
  private readonly mirror: Mirror;
  private readonly ports;
  private server: FrontServer | undefined;
  private need: (endpointId: string, deployment: string) => void = () => undefined;
  private sick: (replicaId: string, why: string) => void = () => undefined;
  private mirrored: (pair: MirroredPair) => void = () => undefined;
  private mirrorDropped: (drop: MirrorDrop) => void = () => undefined;

  constructor(private readonly options: FrontOptions) {
    const { clock, names, maxBodyBytes, pace = defaultPace, mirror } = options;
    const monotonicMs = (): number => clock.monotonic();
    this.ports = { monotonicMs, maxBodyBytes, pace };
    this.routes = new RoutingTable({
      ...{ clock, names },
      need: (endpointId, deployment) => this.need(endpointId, deployment),
      sick: (replicaId, why) => this.sick(replicaId, why),
    });
    this.mirror = new Mirror(
      { ...usualBounds, ...mirror },
      { monotonicMs, mirrored: (pair) => this.mirrored(pair), dropped: (drop) => this.mirrorDropped(drop) },
    );
  }

  /** From the next request on. What is under way goes on where it is, also where its replica or deployment is gone. */
  apply(table: FrontTable): void {
    this.routes.apply(table);
  }

  /** Zeros for a deployment that is not in the table. */
  numbers(endpointId: string, deployment: string): DeploymentNumbers {
    return this.routes.numbers(endpointId, deployment);
  }

  /** Requests under way in a replica, also in one that is no longer in the table. */
  outstandingOf(replicaId: string): number {
    return this.routes.outstandingOf(replicaId);
  }

  /** Requests wait for a deployment that has no replica. Told again while they do, at most once a second. */
  onNeed(callback: (endpointId: string, deployment: string) => void): void {
    this.need = callback;
  }

  /** Connections to a replica failed several times in a row: it is asked no more for a while. */
  onSick(callback: (replicaId: string, why: string) => void): void {
    this.sick = callback;
  }

  /** A copy has been answered, or has failed. */
  onMirrored(callback: (pair: MirroredPair) => void): void {
    this.mirrored = callback;
  }

  /** No room was left for a copy. */
  onMirrorDropped(callback: (drop: MirrorDrop) => void): void {
    this.mirrorDropped = callback;
  }

  /** Since they were last taken, of every image that answered or was to. */
  takeNumbers(): DeploymentImageNumbers[] {
    return this.routes.takeNumbers();
  }

  /** For Prometheus. */
  families(): Family[] {
    return frontFamilies(this.routes.endpoints, this.options.clock.monotonic());
  }

  /** @throws AppError `port.taken`, `config.invalid` */
  async listen(options: ListenOptions): Promise<FrontAddress> {
    this.server = await FrontServer.listen(options, (caller) => this.handle(caller));
    return this.server.address;
  }

  /** From the next connection on. @throws AppError `config.invalid` */
  setTls(tls: TlsFiles): void {
    this.server?.setTls(tls);
  }

  /** Accepts nobody from now on; what is under way is answered, at most for so long. */
  async close(drainMs: number): Promise<void> {
    await this.server?.close(drainMs);
    this.server = undefined;
    this.routes.apply({ endpoints: [] });
  }

  private handle(caller: Caller): void {
    const { headers, url } = caller;
    const requestId = acceptableId(headers['x-request-id']) ?? this.options.newId();
    const refuse = (error: AppError): void => answerRefusal(caller, { error, face: faceAt(url), requestId });
    try {
      const path = readFrontPath(url);
      if (!path)
        throw new AppError('request.not-found', 'nothing answers here: ask /endpoints/WORKSPACE/ENDPOINT/score');
      const endpoint = this.routes.find(path.workspace, path.endpoint);
      const verdict = endpoint.access.judge(headers);
      const proceed = (refused: AppError | undefined): void => {
        if (refused) throw refused;
        this.exchange(caller, { path, endpoint, requestId });
      };
      if (!(verdict instanceof Promise)) proceed(verdict);
      else void verdict.then(proceed).catch((error: unknown) => refuse(this.failureOf(error)));
    } catch (error) {
      refuse(this.failureOf(error));
    }
  }

  private exchange(
    caller: Caller,
    asked: { readonly path: FrontPath; readonly endpoint: EndpointRoutes; readonly requestId: string },
  ): void {
    const { path, endpoint, requestId } = asked;
    const { method, headers } = caller;
    if (!methods.includes(method)) {
      throw new AppError('request.method-not-allowed', `${method} is not served here: use ${methods.join(', ')}`);
    }
    const pin = headers[deploymentHeader];
    const choice = endpoint.choose(typeof pin === 'string' && pin !== '' ? pin : undefined, this.options.random);
    const copy = path.scores ? this.copyOf(caller, asked, choice) : undefined;
    new Exchange(caller, { path, requestId, lane: choice.lane, copy }, this.ports).start();
  }

  private copyOf(
    { method, rawHeaders }: Caller,
    {
      path,
      endpoint,
      requestId,
    }: { readonly path: FrontPath; readonly endpoint: EndpointRoutes; readonly requestId: string },
    choice: Choice,
  ): Copy | undefined {
    const lane = endpoint.mirrorOf(choice, this.options.random);
    if (!lane) return undefined;
    const { target } = path;
    return this.mirror.begin(
      { method, rawHeaders, requestId, endpointId: endpoint.id, target, live: choice.lane },
      lane,
    );
  }

  private failureOf(error: unknown): AppError {
    if (error instanceof AppError) return error;
    this.options.log.error({ err: error }, 'a request failed by a bug of ours');
    return new AppError('internal', 'an internal error; the log of the service host has the cause');
  }
}
