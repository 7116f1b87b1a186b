/** What a service host says of itself. Pure. */
import type { Problem } from '#shared/kernel/errors.js';
import type { DesiredDeployment, DesiredServices } from '../desired-services.js';
import type { DeploymentNumbers, DeploymentStatus, ReplicaStatus, ServicesStatus } from '../services-status.js';
import { wantedOf } from './autoscale.js';
import { replicaId } from './front-table-of.js';
import { grouped, keyOf, type ObservedReplica, type ObservedServices, versionOf } from './observed.js';
import { failureOf, type ServicePolicy } from './plan.js';

export interface StatusSources {
  readonly observed: ObservedServices;
  readonly policy: ServicePolicy;
  readonly numbers: (endpoint: string, deployment: string) => DeploymentNumbers;
  readonly processOf: (sequence: number) => string | undefined;
  readonly residentBytesOf: (sequence: number) => number | undefined;
  /** Wall clock, of a monotonic instant. */
  readonly instantOf: (monotonicMs: number) => string;
}

export function endpointStatuses(
  desired: DesiredServices | undefined,
  sources: StatusSources,
): ServicesStatus['endpoints'] {
  const { replicas, versions } = sources.observed;
  const known = {
    replicas: grouped(
      replicas.toSorted((a, b) => a.sequence - b.sequence),
      keyOf,
    ),
    versions: grouped(versions, keyOf),
  };
  return (desired?.endpoints ?? []).map(({ id, deployments }) => ({
    id,
    deployments: deployments.map((spec) => {
      const key = keyOf({ endpoint: id, deployment: spec.name });
      const of = { replicas: known.replicas.get(key) ?? [], versions: known.versions.get(key) ?? [] };
      return deploymentStatus(id, spec, of, sources);
    }),
  }));
}

function deploymentStatus(
  endpoint: string,
  spec: DesiredDeployment,
  { replicas, versions }: Pick<ObservedServices, 'replicas' | 'versions'>,
  sources: StatusSources,
): DeploymentStatus {
  const { observed, policy, numbers } = sources;
  const version = versionOf(spec);
  const known = versions.find((one) => one.version === version);
  const failed = failureOf(known, policy) !== undefined;
  const wantedReplicas = wantedOf(spec.scale, observed.wanted[keyOf({ endpoint, deployment: spec.name })]);
  const problem = failed ? known?.problem : firstProblem(replicas, version);
  return {
    name: spec.name,
    revision: spec.revision,
    state: failed ? 'failed' : stateOf(replicas, version, wantedReplicas, known?.wasReady === true),
    ...(problem === undefined ? {} : { problem: inShort(problem) }),
    replicas: replicas.map((one) => replicaStatus(one, sources)),
    wantedReplicas,
    numbers: numbers(endpoint, spec.name),
  };
}

function stateOf(
  replicas: readonly ObservedReplica[],
  version: string,
  wanted: number,
  wasReady: boolean,
): DeploymentStatus['state'] {
  const active = replicas.filter(({ state }) => state !== 'draining');
  if (active.some((one) => one.version !== version)) return 'updating';
  if (wanted === 0) return 'idle';
  const ready = active.filter(({ state }) => state === 'ready').length;
  if (ready >= wanted) return 'healthy';
  const isBroken = active.some(({ state }) => state === 'down' || state === 'unready');
  return wasReady && isBroken ? 'unhealthy' : 'starting';
}

function firstProblem(replicas: readonly ObservedReplica[], version: string): Problem | undefined {
  return replicas.find((one) => one.version === version && one.problem !== undefined)?.problem;
}

function replicaStatus(one: ObservedReplica, sources: StatusSources): ReplicaStatus {
  const { revision, state, sinceMs, restarts, sequence, problem } = one;
  const process = sources.processOf(sequence);
  const residentBytes = sources.residentBytesOf(sequence);
  return {
    id: replicaId(one),
    revision,
    // Alive, and takes no requests: to who asks, one that is not there yet; its problem says why.
    state: state === 'unready' ? 'starting' : state,
    ...(process === undefined ? {} : { process }),
    ...(residentBytes === undefined ? {} : { residentBytes }),
    since: sources.instantOf(sinceMs),
    restarts,
    ...(problem === undefined ? {} : { problem: inShort(problem) }),
  };
}

function inShort({ code, message }: Problem): { code: string; message: string } {
  return { code, message: message.slice(0, 4096) };
}
