import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GateRepository, type StoredVerdict } from '#cloud/rollout/gates/gate-repository.js';
import type { Wait } from '#cloud/rollout/rollout-model.js';
import { TelemetryRepository } from '#cloud/telemetry/telemetry-repository.js';
import type { ModuleMetrics } from '#shared/protocol/stream.js';
import { metricsOf, SayingDevice, system } from '#test/support/telemetry-batches.js';
import { RolloutFleet } from './rollout-fleet.js';

let fleet: RolloutFleet;
let telemetry: TelemetryRepository;
let devices: Map<string, SayingDevice>;
beforeEach(async () => {
  fleet = await RolloutFleet.open(3);
  telemetry = await TelemetryRepository.open(join(fleet.world.folder, 'telemetry.db'));
  fleet.telemetry = telemetry;
  devices = new Map(['d0', 'd1', 'd2'].map((name) => [name, new SayingDevice(name)]));
  // All of it runs the first version, in a rollout that is over.
  await fleet.start('vision:1', { waves: [], maxUnavailable: '100%' });
  await fleet.turn();
  await fleet.obey('d0', 'd1', 'd2');
  await fleet.turn();
});
afterEach(async () => {
  await telemetry.close();
  await fleet.close();
});

const second = { workspace: 'w', number: 2 };
const many = (count: number, ms: number): number[] => new Array<number>(count).fill(ms);

async function tell(device: string, version: number, metrics: Partial<ModuleMetrics>, ...latencies: readonly number[]) {
  const row = await fleet.world.control
    .selectFrom('releaseModules')
    .select('imageDigest')
    .where('version', '=', version)
    .executeTakeFirstOrThrow();
  const digest = row.imageDigest as ModuleMetrics['digest'];
  const says = devices
    .get(device)
    ?.telemetry(
      fleet.world.clock.nowMs,
      { detector: { ...metricsOf(latencies), digest, version, ...metrics } },
      { ...system, hostsRssBytes: version * 1e8 },
    );
  if (says) await telemetry.ingest([says]);
}

/** The canary of the second rollout runs the new version. */
async function canaryRuns(policy: object): Promise<string> {
  fleet.world.clock.nowMs += 30_000;
  await fleet.start('vision:2', { waves: [{ count: 1 }], ...policy });
  await fleet.turn();
  const [canary = ''] = await fleet.withStanding('changing', 2);
  await fleet.obey(canary);
  await fleet.turn();
  fleet.world.clock.nowMs += 90_000;
  return canary;
}

async function waits(): Promise<readonly Wait[]> {
  const { plan } = await fleet.controller().look(await fleet.rollouts.require(second));
  return plan.waiting;
}

const stored = (): Promise<StoredVerdict[]> => new GateRepository(fleet.world.control).list(second);

describe('a rollout with gates', () => {
  const errors = { kind: 'errors', maxPercent: 10, minSamples: 50 };

  it('holds while too little is told of the new version, says what it lacks, and goes on once that is there', async () => {
    const canary = await canaryRuns({ gates: { errors } });
    await tell(canary, 1, { requests: 500, errors: { 'inference.failed': 500 } });
    expect(await waits()).toContainEqual(
      expect.objectContaining({ kind: 'gate', detail: 'gate errors: errors of detector lacks 0 of 50 requests' }),
    );
    await tell(canary, 2, {}, ...many(31, 5));
    expect((await waits())[0]?.detail).toBe('gate errors: errors of detector lacks 31 of 50 requests');
    await fleet.turn();
    expect((await fleet.rollouts.require(second)).rollout.wave).toBe(0);
    await tell(canary, 2, { requests: 169, errors: { 'inference.failed': 2 } }, ...many(167, 5));
    await fleet.turn();
    expect((await fleet.rollouts.require(second)).rollout.wave).toBe(1);
    expect(await stored()).toEqual([
      expect.objectContaining({ wave: 0, gate: 'errors', verdict: 'pass', value: 0.01, bound: 0.1, samples: 200 }),
    ]);
  });

  it('leads devices back when one fails, keeps the numbers, and judges each version by its own', async () => {
    for (const device of ['d0', 'd1', 'd2']) await tell(device, 1, {}, ...many(300, 10));
    const gates = {
      speed: { kind: 'latency', maxRatio: 2, confidence: 0.9 },
      memory: { kind: 'memory', maxRatio: 3, minSamples: 1 },
    };
    const canary = await canaryRuns({ gates, onFailure: 'rollback' });
    await tell(canary, 1, {}, ...many(100, 10));
    await tell(canary, 2, {}, ...many(300, 31));
    await fleet.turn();
    await fleet.obey(canary);
    await fleet.turn();
    const { rollout } = await fleet.rollouts.require(second);
    expect(rollout).toMatchObject({ state: 'rolled-back', reason: { code: 'gate', gates: ['speed'] } });
    expect(rollout.reason?.text).toMatch(
      /^gate speed: p99 latency of detector is 31 ms, more than 2\d(\.\d)? ms \(10(\.\d)? ms to compare with\), of 300 in wave 1$/,
    );
    expect(await stored()).toEqual([
      expect.objectContaining({ gate: 'memory', verdict: 'pass', value: 2e8, reference: 1e8, samples: 1 }),
      expect.objectContaining({ gate: 'speed', verdict: 'fail', samples: 300, referenceSamples: 400, told: 1 }),
    ]);
    expect(await fleet.desired(canary)).toMatchObject({ release: 'vision:1' });
    expect(await fleet.withStanding('cancelled', 2)).toHaveLength(2);
  });

  it('pauses for a person, who may go on in spite of that gate, in that wave', async () => {
    const canary = await canaryRuns({ gates: { errors } });
    await tell(canary, 2, { requests: 100, errors: { 'inference.failed': 50 } });
    await fleet.turn();
    expect((await fleet.rollouts.require(second)).rollout).toMatchObject({ state: 'paused', reason: { code: 'gate' } });
    await fleet.office.order(second, { kind: 'resume' }, 'somebody');
    await fleet.turn();
    expect((await fleet.rollouts.require(second)).rollout).toMatchObject({ state: 'running', wave: 1 });
    await fleet.turn();
    const changing = await fleet.withStanding('changing', 2);
    await fleet.obey(...changing);
    for (const device of changing) await tell(device, 2, { requests: 100, errors: { 'inference.failed': 50 } });
    await fleet.turn();
    expect(await fleet.state(2)).toBe('paused');
  });

  it('compares with devices that still run the version before, and in the last wave with what they ran', async () => {
    const speed = { kind: 'latency', maxRatio: 2, confidence: 0.5, minSamples: 20, reference: 'peers' };
    const canary = await canaryRuns({ gates: { speed }, maxUnavailable: '100%' });
    const others = ['d0', 'd1', 'd2'].filter((name) => name !== canary);
    await tell(canary, 1, {}, ...many(500, 500));
    for (const device of others) await tell(device, 1, {}, ...many(200, 10));
    await tell(canary, 2, {}, ...many(400, 12));
    await fleet.turn();
    expect(await stored()).toMatchObject([{ verdict: 'pass', samples: 400, referenceSamples: 400 }]);
    await fleet.obey(...(await fleet.withStanding('changing', 2)));
    fleet.world.clock.nowMs += 90_000;
    for (const device of others) await tell(device, 2, {}, ...many(200, 12));
    await fleet.turn();
    expect(await fleet.state(2)).toBe('succeeded');
    expect((await stored()).at(-1)).toMatchObject({
      wave: 1,
      samples: 400,
      referenceSamples: 900,
      told: 2,
      devices: 2,
    });
  });

  it('refuses a gate of a module that the release does not have', async () => {
    const gates = { errors: { ...errors, module: 'detectr' } };
    await expect(fleet.start('vision:2', { gates })).rejects.toThrow(
      'policy: gates.errors.module: vision:2 has no module "detectr"; did you mean "detector"?',
    );
  });

  it('that is cut off at each question of the step that fails it comes to the same end', async () => {
    const canary = await canaryRuns({ gates: { errors }, onFailure: 'rollback' });
    await tell(canary, 2, { requests: 100, errors: { 'inference.failed': 50 } });
    let kills = 0;
    for (let n = 1; (await fleet.state(2)) !== 'ending' && n < 200; n++) {
      const { db, failed } = fleet.failingAt(n);
      await fleet.turn(db);
      if (!failed()) break;
      kills += 1;
      // Verdicts and the transition that rests on them are there together, or neither is.
      expect((await stored()).length).toBe((await fleet.state(2)) === 'running' ? 0 : 1);
    }
    expect(kills).toBeGreaterThan(5);
    await fleet.turn();
    await fleet.obey(canary);
    await fleet.turn();
    expect((await fleet.rollouts.require(second)).rollout).toMatchObject({
      ...{ state: 'rolled-back', reason: { code: 'gate', gates: ['errors'] } },
    });
  });
});
