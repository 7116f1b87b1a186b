/** The table in force, as live objects: what stays from one table to the next keeps its numbers, queues and connections. */
import type { Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { DeploymentNumbers } from '../services-status.js';
import { CallerAccess, type FrontNames } from './caller-access.js';
import { EndpointRoutes } from './endpoint-routes.js';
import type { FrontDeployment, FrontEndpoint, FrontTable } from './front-table.js';
import type { ImageNumbers } from './image-tally.js';
import { Lane } from './lane.js';
import { Replica } from './replica.js';

export interface RoutingPorts {
  readonly clock: Clock;
  readonly names: FrontNames;
  need(endpointId: string, deployment: string): void;
  sick(replicaId: string, why: string): void;
}

export interface DeploymentImageNumbers extends ImageNumbers {
  readonly workspace: string;
  readonly endpoint: string;
  readonly deployment: string;
}

/** Deployments that are gone and whose last numbers nobody took. */
const maxLeft = 1_000;

const noNumbers: DeploymentNumbers = { requests: 0, errors: 0, rejected: 0, outstanding: 0 };

export class RoutingTable {
  private byPath = new Map<string, EndpointRoutes>();
  private byId = new Map<string, EndpointRoutes>();
  /** Those of the table, and those beside it that still have something under way. */
  private readonly replicas = new Map<string, Replica>();

  /** Of deployments that are gone. */
  private left: DeploymentImageNumbers[] = [];

  constructor(private readonly ports: RoutingPorts) {}

  get endpoints(): Iterable<EndpointRoutes> {
    return this.byId.values();
  }

  apply({ endpoints }: FrontTable): void {
    const before = this.byId;
    const listed = new Set(
      endpoints.flatMap(({ deployments }) => deployments.flatMap(({ replicas }) => replicas.map(({ id }) => id))),
    );
    for (const replica of [...this.replicas.values()]) if (!listed.has(replica.id)) replica.set('gone');
    this.byId = new Map(endpoints.map((endpoint) => [endpoint.id, this.route(endpoint, before.get(endpoint.id))]));
    this.byPath = new Map([...this.byId.values()].map((routes) => [pathOf(routes.workspace, routes.name), routes]));
    for (const [id, routes] of before) this.leave(routes, this.byId.get(id));
  }

  /** @throws AppError `endpoint.not-found` */
  find(workspace: string, name: string): EndpointRoutes {
    const found = this.byPath.get(pathOf(workspace, name));
    if (found) return found;
    throw new AppError('endpoint.not-found', `there is no endpoint "${name}" in workspace "${workspace}"`);
  }

  numbers(endpointId: string, deployment: string): DeploymentNumbers {
    const lane = this.byId.get(endpointId)?.lanes.get(deployment);
    return lane ? lane.tally.numbers(this.ports.clock.monotonic(), lane.outstanding) : noNumbers;
  }

  takeNumbers(): DeploymentImageNumbers[] {
    const taken = this.left;
    this.left = [];
    for (const routes of this.endpoints)
      for (const lane of routes.lanes.values()) taken.push(...numbersOf(routes, lane));
    return taken;
  }

  outstandingOf(replicaId: string): number {
    return this.replicas.get(replicaId)?.outstanding ?? 0;
  }

  private route(endpoint: FrontEndpoint, before: EndpointRoutes | undefined): EndpointRoutes {
    const lanes = endpoint.deployments.map((deployment): [string, Lane] => {
      const lane = before?.lanes.get(deployment.name) ?? this.lane(endpoint, deployment);
      lane.set(deployment, this.replicasOf(deployment));
      return [deployment.name, lane];
    });
    return new EndpointRoutes(endpoint, this.access(endpoint, before?.access), new Map(lanes));
  }

  /** Closes the deployments that are gone. */
  private leave(before: EndpointRoutes, now: EndpointRoutes | undefined): void {
    for (const [name, lane] of before.lanes) {
      if (now?.lanes.has(name)) continue;
      lane.close(new AppError('deployment.not-found', `${lane.title} was deleted`));
      this.left = [...this.left, ...numbersOf(before, lane)].slice(-maxLeft);
    }
  }

  private lane({ id, name }: FrontEndpoint, deployment: FrontDeployment): Lane {
    return new Lane(`deployment "${deployment.name}" of endpoint "${name}"`, deployment.name, deployment, {
      monotonicMs: () => this.ports.clock.monotonic(),
      need: (deploymentName) => this.ports.need(id, deploymentName),
    });
  }

  /** Verified tokens are remembered while nothing is changed in who may call. */
  private access({ id, auth }: FrontEndpoint, before: CallerAccess | undefined): CallerAccess {
    if (before && JSON.stringify(before.auth) === JSON.stringify(auth)) return before;
    return new CallerAccess(auth, id, this.ports.names, this.ports.clock);
  }

  private replicasOf({ replicas }: FrontDeployment): Replica[] {
    return replicas.map((listed) => {
      const replica = this.replicas.get(listed.id) ?? this.newReplica(listed);
      replica.set(listed.state);
      return replica;
    });
  }

  private newReplica(listed: FrontDeployment['replicas'][number]): Replica {
    const replica = new Replica(listed, {
      monotonicMs: () => this.ports.clock.monotonic(),
      sick: (replicaId, why) => this.ports.sick(replicaId, why),
      idle: ({ id }) => this.replicas.delete(id),
    });
    this.replicas.set(listed.id, replica);
    return replica;
  }
}

function numbersOf({ workspace, name }: EndpointRoutes, lane: Lane): DeploymentImageNumbers[] {
  const of = { workspace, endpoint: name, deployment: lane.name };
  return lane.tally.images.take().map((numbers) => ({ ...of, ...numbers }));
}

function pathOf(workspace: string, name: string): string {
  return `${workspace}/${name}`;
}
