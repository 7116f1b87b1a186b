import { describe, expect, it } from 'vitest';
import { judgeProgress, type ProgressGoal } from '#cloud/services/control/deployment-progress.js';
import type { DeploymentStatus, ReplicaStatus, ServicesStatus } from '#cloud/services/services-status.js';

const at = '2026-01-01T00:00:00.000Z';
const wanted: ProgressGoal = { endpoint: 'e', deployment: 'blue', revision: 2, generation: 7, goal: 'healthy' };
const gone: ProgressGoal = { ...wanted, goal: 'gone' };

function replica(revision: number, state: ReplicaStatus['state']): ReplicaStatus {
  return { id: `${String(revision)}-${state}`, revision, state, since: at, restarts: 0 };
}

function status(generation: number, ...deployments: Partial<DeploymentStatus>[]): ServicesStatus {
  const numbers = { requests: 0, errors: 0, rejected: 0, outstanding: 0 };
  const usual: DeploymentStatus = {
    ...{ name: 'blue', revision: 2, state: 'healthy', replicas: [], wantedReplicas: 1, numbers },
  };
  return {
    ...{ schema: 1, generation, version: '0.0.0', startedAt: at, url: 'http://127.0.0.1:1' },
    endpoints: [{ id: 'e', deployments: deployments.map((one) => ({ ...usual, ...one })) }],
  };
}

describe('a change of a deployment', () => {
  it('waits until the service host works by its document, and has begun', () => {
    const ready = { replicas: [replica(2, 'ready')] };
    expect(judgeProgress(wanted, status(6, ready)).kind).toBe('waiting');
    expect(judgeProgress(wanted, status(7)).kind).toBe('waiting');
    expect(judgeProgress(wanted, status(7, { ...ready, revision: 1 })).kind).toBe('waiting');
  });

  it('is done when as many replicas of its revision are ready as it wants', () => {
    const one = { wantedReplicas: 2, replicas: [replica(2, 'ready'), replica(1, 'ready')] };
    expect(judgeProgress(wanted, status(7, { ...one, state: 'updating' }))).toMatchObject({
      kind: 'waiting',
      text: '1 of 2 replicas ready',
    });
    expect(judgeProgress(wanted, status(7, one)).kind).toBe('waiting');
    const both = { ...one, replicas: [replica(2, 'ready'), replica(2, 'ready')] };
    expect(judgeProgress(wanted, status(8, both)).kind).toBe('done');
  });

  it('is done without a replica where nobody asks yet', () => {
    expect(judgeProgress(wanted, status(7, { state: 'idle', wantedReplicas: 0 })).kind).toBe('done');
  });

  it('fails with what the service host says of its revision', () => {
    const problem = { code: 'golden.mismatch', message: 'other answers' };
    const failed = judgeProgress(wanted, status(7, { state: 'failed', problem, replicas: [replica(1, 'ready')] }));
    expect(failed).toEqual({ kind: 'failed', ...problem });
  });

  it('that ends it is done when its last replica has ended', () => {
    expect(judgeProgress(gone, status(7, { replicas: [replica(2, 'draining')] }))).toMatchObject({
      text: '1 replica still ends',
    });
    expect(judgeProgress(gone, status(7)).kind).toBe('done');
    expect(judgeProgress(gone, { ...status(7), endpoints: [] }).kind).toBe('done');
  });
});
