/** How the target of a shift stands, by what the service host says of itself. Pure. */
import type { ServicesStatus } from '../services-status.js';
import type { Readiness, ShiftMember } from './shift-model.js';

export interface ReadinessInput {
  /** The endpoint's id. */
  readonly endpoint: string;
  readonly target: Pick<ShiftMember, 'deployment' | 'revision'>;
  /** Of the document that carries the endpoint's last change. */
  readonly generation: number;
  readonly status: ServicesStatus;
  /** It is to have no replicas, whatever the load. */
  readonly empty: boolean;
  /** Since when it has not been ready, as far as anybody looked. */
  readonly since: number;
}

export function readinessOf({ endpoint, target, generation, status, empty, since }: ReadinessInput): Readiness {
  const { deployment, revision } = target;
  if (empty)
    return { kind: 'failed', text: `${deployment} is to have no replicas: flotilla deployment scale gives it some` };
  if (status.generation < generation) {
    return { kind: 'unknown', text: 'the service host has not taken the last change yet' };
  }
  const own = status.endpoints.find(({ id }) => id === endpoint);
  const found = own?.deployments.find(({ name }) => name === deployment);
  if (found === undefined || found.revision < revision) {
    return { kind: 'unknown', text: `the service host has not begun with ${deployment}` };
  }
  const { state, problem, wantedReplicas, replicas } = found;
  const ready = replicas.filter((one) => one.state === 'ready' && one.revision === found.revision).length;
  const why = problem === undefined ? '' : `: ${problem.message}`;
  const text = `${deployment} has ${String(ready)} of ${String(wantedReplicas)} replicas ready${why}`;
  switch (state) {
    case 'failed':
      return { kind: 'failed', text: `${deployment} does not start${why}` };
    case 'healthy':
    // It starts when it is asked.
    case 'idle':
      return { kind: 'ready' };
    case 'starting':
    case 'updating':
    case 'unhealthy':
      return { kind: 'waiting', text, since, unhealthy: state === 'unhealthy' };
  }
}
