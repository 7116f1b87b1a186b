/** How far a change of a deployment has come, from what the service host says of itself. Pure. */
import type { DeploymentStatus, ServicesStatus } from '../services-status.js';

export interface ProgressGoal {
  /** The endpoint's id. */
  readonly endpoint: string;
  readonly deployment: string;
  readonly revision: number;
  /** Of the document that carries the change. */
  readonly generation: number;
  readonly goal: 'healthy' | 'gone';
}

export type Progress =
  | { readonly kind: 'waiting'; readonly text: string }
  | { readonly kind: 'done'; readonly text: string }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

export function judgeProgress(wanted: ProgressGoal, status: ServicesStatus): Progress {
  if (status.generation < wanted.generation) {
    return waiting(
      `the service host works by document ${String(status.generation)}, not yet ${String(wanted.generation)}`,
    );
  }
  const endpoint = status.endpoints.find(({ id }) => id === wanted.endpoint);
  const found = endpoint?.deployments.find(({ name }) => name === wanted.deployment);
  if (wanted.goal === 'gone') {
    const left = found?.replicas.length ?? 0;
    return left === 0 ? done('it is gone') : waiting(`${counted(left)} still ${left === 1 ? 'ends' : 'end'}`);
  }
  if (found === undefined || found.revision < wanted.revision) return waiting('the service host has not begun with it');
  return judgeFound(wanted, found);
}

function judgeFound({ revision }: ProgressGoal, found: DeploymentStatus): Progress {
  const { state, problem, wantedReplicas } = found;
  const ready = found.replicas.filter((one) => one.revision === found.revision && one.state === 'ready').length;
  const text = `${String(ready)} of ${counted(wantedReplicas)} ready`;
  switch (state) {
    case 'failed': {
      const { code, message } = problem ?? { code: 'deployment.failed', message: 'its replicas do not start' };
      return { kind: 'failed', code, message };
    }
    case 'healthy':
      return ready >= wantedReplicas ? done(`${text} at revision ${String(revision)}`) : waiting(text);
    case 'idle':
      return done('it is ready to start at the first request');
    case 'starting':
    case 'updating':
    case 'unhealthy':
      return waiting(problem === undefined ? text : `${text}: ${problem.message}`);
  }
}

function counted(count: number): string {
  return count === 1 ? '1 replica' : `${String(count)} replicas`;
}

function waiting(text: string): Progress {
  return { kind: 'waiting', text };
}

function done(text: string): Progress {
  return { kind: 'done', text };
}
