import { describe, expect, it } from 'vitest';
import type { DeploymentStatus } from '#cloud/services/services-status.js';
import { servicesStatusSchema } from '#cloud/services/services-status.js';
import { endpointStatuses } from '#cloud/services/host/status-of.js';
import { deployment, policy, services, SimulatedServices } from '#test/support/services/simulated-services.js';

/** What is said of the one deployment of a world. */
function statusOf(world: SimulatedServices): DeploymentStatus | undefined {
  const endpoints = endpointStatuses(world.desired, {
    ...{ observed: world.observed, policy },
    numbers: () => ({ requests: 0, errors: 0, rejected: 0, outstanding: 0 }),
    processOf: (sequence) => `process ${String(sequence)}`,
    residentBytesOf: () => 1000,
    instantOf: (at) => new Date(at).toISOString(),
  });
  const startedAt = '2026-01-01T00:00:00.000Z';
  const whole = { schema: 1, generation: 1, version: '1', startedAt, url: 'http://127.0.0.1:1', endpoints };
  return servicesStatusSchema.parse(whole).endpoints[0]?.deployments[0];
}

describe('what a service host says of a deployment', () => {
  it('is how its replicas fare, from the first start to an update that fails', () => {
    const world = new SimulatedServices((version) => version.startsWith('1@'));
    const desire = (revision: number, replicas: number): void =>
      world.desire(services(1, { e1: [deployment('blue', revision, replicas)] }));
    const finish = (): void => {
      for (const one of world.observed.replicas) world.finish(one);
      world.settle();
    };
    desire(1, 1);
    world.settle();
    expect(statusOf(world)).toMatchObject({ state: 'starting', replicas: [{ id: 'r1', state: 'starting' }] });
    finish();
    expect(statusOf(world)).toMatchObject({ state: 'healthy', wantedReplicas: 1 });
    world.exit(1);
    expect(statusOf(world)).toMatchObject({ state: 'unhealthy', problem: { code: 'process.failed' } });
    for (let round = 0; round < 3; round++) world.round();
    desire(2, 1);
    world.settle();
    expect(statusOf(world)).toMatchObject({
      state: 'updating',
      revision: 2,
      replicas: [{ revision: 1 }, { revision: 2 }],
    });
    for (let round = 0; round < 6; round++) world.round();
    expect(statusOf(world)).toMatchObject({
      ...{ state: 'failed', problem: { code: 'process.failed' } },
      replicas: [{ revision: 1, state: 'ready' }],
    });
    desire(2, 0);
    world.settle();
    finish();
    expect(statusOf(world)?.replicas).toEqual([]);
    desire(3, 0);
    world.settle();
    expect(statusOf(world)).toMatchObject({ state: 'idle', wantedReplicas: 0 });
  });
});
