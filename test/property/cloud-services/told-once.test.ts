import { mkdir } from 'node:fs/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TelemetryRepository } from '#cloud/telemetry/telemetry-repository.js';
import { NumbersWorld } from '#test/support/services/numbers-world.js';
import { metricsOf, SayingDevice } from '#test/support/telemetry-batches.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const path = temporaryFolder();
let store: TelemetryRepository;
beforeAll(async () => {
  store = await TelemetryRepository.open(path('telemetry.db'));
});
afterAll(() => store.close());

describe('numbers of a deployment', () => {
  it('are in the store once, whatever is lost, killed or started again between', async () => {
    const step = fc.oneof(
      fc.record({ what: fc.constant('count' as const), requests: fc.integer({ min: 1, max: 9 }) }),
      fc.constantFrom('none', 'answer lost', 'not stored', 'stored and killed').map((fault) => ({
        ...{ what: 'ask' as const, fault: fault as NumbersWorld['fault'] },
      })),
      fc.constantFrom({ what: 'restart host' as const }, { what: 'restart control plane' as const }),
    );
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), async (steps) => {
        runs += 1;
        const workspace = `w${String(runs)}`;
        await mkdir(path(workspace));
        const world = new NumbersWorld(store, path(workspace), workspace);
        let counted = 0;
        for (const one of steps) {
          if (one.what === 'count') {
            world.count(one.requests, { 'score.failed': 1 });
            counted += one.requests;
          } else if (one.what === 'ask') await world.ask(one.fault);
          else if (one.what === 'restart host') await world.restartHost();
          else world.restartControlPlane();
        }
        for (let round = 0; round < 3; round++) await world.ask();
        const told = (await world.told()).reduce((sum, { requests }) => sum + requests, 0);
        const errors = (await world.told()).reduce((sum, one) => sum + (one.errors['score.failed'] ?? 0), 0);
        expect([told, errors]).toEqual([counted, steps.filter(({ what }) => what === 'count').length]);
      }),
      { numRuns: 25 },
    );
  });

  it('do not wait for a replica that is silent', async () => {
    await mkdir(path('silent'));
    const world = new NumbersWorld(store, path('silent'), 'silent');
    world.askReplicas = () => new Promise(() => undefined);
    world.count(5);
    await world.ask();
    expect(await world.told()).toMatchObject([{ requests: 5 }]);
  });

  it('are not added to those of modules on devices', async () => {
    await mkdir(path('apart'));
    const world = new NumbersWorld(store, path('apart'), 'apart');
    world.count(5);
    await world.ask();
    await store.ingest([new SayingDevice('cam-1', 'apart').telemetry(Date.now(), { digits: metricsOf([1, 2]) })]);
    const { modules } = await store.rollUp();
    expect(modules.filter(({ workspace }) => workspace === 'apart')).toMatchObject([{ module: 'digits', requests: 2 }]);
  });

  it('go on in a store that lost what it had, and what is lost is told as such', async () => {
    await mkdir(path('lost'));
    const world = new NumbersWorld(store, path('lost'), 'lost');
    for (let round = 0; round < 3; round++) {
      world.count(1);
      await world.ask();
    }
    await store.eraseWorkspace('lost');
    world.count(5);
    for (let round = 0; round < 3; round++) await world.ask();
    expect((await world.told()).map(({ requests }) => requests)).toEqual([5]);
    const { dropped } = await store.telemetry({ workspace: 'lost', device: 'fraud/blue', fromMs: 0 });
    expect(dropped).toBe(3);
  });
});
