import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ShadowMetrics } from '#shared/protocol/shadow.js';
import { addToSketch, emptySketch, encodeSketch } from '#shared/protocol/sketch.js';
import type { ModuleMetrics } from '#shared/protocol/stream.js';
import { GateRepository } from '#cloud/rollout/gates/gate-repository.js';
import { TelemetryRepository } from '#cloud/telemetry/telemetry-repository.js';
import { addressOf, capabilities } from '#test/support/fleet-world.js';
import { metricsOf, SayingDevice, system } from '#test/support/telemetry-batches.js';
import { RolloutFleet } from './rollout-fleet.js';

const names = ['d0', 'd1', 'd2'];
const second = { workspace: 'w', number: 2 };
let fleet: RolloutFleet;
let telemetry: TelemetryRepository;
let devices: Map<string, SayingDevice>;
beforeEach(async () => {
  fleet = await RolloutFleet.open(3);
  telemetry = await TelemetryRepository.open(join(fleet.world.folder, 'telemetry.db'));
  fleet.telemetry = telemetry;
  fleet.says = { capabilities: { ...capabilities, features: ['shadow'] } };
  devices = new Map(names.map((name) => [name, new SayingDevice(name)]));
  // All of it runs the first version, in a rollout that is over.
  await fleet.start('vision:1', { waves: [], maxUnavailable: '100%' });
  await fleet.turn();
  await fleet.obey(...names);
  await fleet.turn();
});
afterEach(async () => {
  await telemetry.close();
  await fleet.close();
});

const shadow = { seconds: 60, minCompared: 100, maxLatencyRatio: 2 };

/** @returns the device of the first wave */
async function start(policy: object = {}): Promise<string> {
  fleet.world.clock.nowMs += 30_000;
  await fleet.start('vision:2', { waves: [{ count: 1 }], shadow, ...policy });
  await fleet.turn();
  fleet.world.clock.nowMs += 61_000;
  const [canary = ''] = (await shadowed()).keys();
  return canary;
}

/** What shadows the detector of each device, by version. */
async function shadowed(): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const device of names) {
    const [module] = await fleet.world.deployments.listCurrentOf(addressOf(device));
    if (module?.shadow !== undefined) found.set(device, module.shadow.image.version);
  }
  return found;
}

async function tell(device: string, counts: Partial<ShadowMetrics>, shadowMs = 5, version = 2): Promise<void> {
  const { imageDigest } = await fleet.world.control
    .selectFrom('releaseModules')
    .select('imageDigest')
    .where('version', '=', version)
    .executeTakeFirstOrThrow();
  const digest = imageDigest as ModuleMetrics['digest'];
  const [live, beside] = [emptySketch(), emptySketch()];
  for (let n = 0; n < (counts.compared ?? 0); n++) {
    addToSketch(live, 5);
    addToSketch(beside, shadowMs);
  }
  const none = { compared: 0, agreed: 0, uncompared: 0, liveErrors: 0, shadowErrors: 0, dropped: 0 };
  const latencies = { liveLatencyMs: encodeSketch(live), shadowLatencyMs: encodeSketch(beside) };
  const metrics = {
    ...metricsOf([5]),
    shadow: { digest, version, tag: 'rollout-2', ...none, ...latencies, ...counts },
  };
  const said = devices.get(device)?.telemetry(fleet.world.clock.nowMs, { detector: metrics }, system);
  if (said) await telemetry.ingest([said]);
}

async function details(): Promise<(string | undefined)[]> {
  const { plan } = await fleet.controller().look(await fleet.rollouts.require(second));
  return plan.waiting.filter(({ kind }) => kind === 'shadow').map(({ detail }) => detail);
}

const history = async (): Promise<string[]> => {
  const { items } = await fleet.rollouts.history(second, { limit: 50 });
  return items.map(({ kind, text }) => `${kind}: ${text}`);
};

describe('a rollout with a shadow', () => {
  it('has the first wave shadow while nothing switches, and says what it lacks', async () => {
    const canary = await start();
    expect([...(await shadowed())]).toEqual([[canary, 2]]);
    expect(await fleet.withStanding('queued', 2)).toHaveLength(3);
    expect(await fleet.desired(canary)).toMatchObject({ release: 'vision:1' });
    expect(await details()).toEqual(['gate shadow: disagreement of detector lacks 0 of 100 compared answers']);
    // Of another version, and of what was asked by somebody else, nothing is counted.
    await tell(canary, { compared: 900, agreed: 900 }, 5, 1);
    await tell(canary, { compared: 900, agreed: 0, tag: 'rollout-1' });
    await tell(canary, { compared: 31, agreed: 31 });
    expect(await details()).toEqual(['gate shadow: disagreement of detector lacks 31 of 100 compared answers']);
    await fleet.turn();
    await fleet.turn();
    expect(await fleet.withStanding('queued', 2)).toHaveLength(3);
    const lack = 'gate shadow: disagreement of detector lacks 31 of 100 compared answers';
    expect((await history()).filter((line) => line.startsWith('held'))).toEqual([
      `held: before the first switch: ${lack}`,
    ]);
  });

  it('goes on to switch once the shadow has agreed, which ends with the switch; the numbers are kept', async () => {
    const canary = await start();
    await tell(canary, { compared: 2000, agreed: 1999 });
    await fleet.turn();
    expect(await fleet.withStanding('changing', 2)).toEqual([canary]);
    expect((await shadowed()).size).toBe(0);
    const kept = await new GateRepository(fleet.world.control).list(second);
    expect(kept.map(({ gate, verdict, samples }) => [gate, verdict, samples])).toEqual([
      ['shadow', 'pass', 2000],
      ['shadow-errors', 'pass', 2000],
      ['shadow-latency', 'pass', 2000],
    ]);
    expect((await history()).find((line) => line.startsWith('shadowed'))).toContain('is 0.05%, at most 1%, of 2000');
  });

  it.each([
    ['disagrees', { compared: 500, agreed: 400 }, 5, /disagreement of detector is 20%, more than 1%/],
    ['fails', { compared: 500, agreed: 500, shadowErrors: 60 }, 5, /errors of the shadow of detector is 10.7%/],
    ['is slow', { compared: 500, agreed: 500 }, 30, /p99 latency of detector is \S+ ms, more than/],
  ])('that %s ends it before any device has switched, and leaves no shadow', async (_what, counts, ms, reason) => {
    const canary = await start({ onFailure: 'stop' });
    await tell(canary, counts, ms);
    await fleet.turn();
    const { rollout } = await fleet.rollouts.require(second);
    expect(rollout).toMatchObject({ state: 'failed', reason: { code: 'gate' } });
    expect(rollout.reason?.text).toMatch(reason);
    expect(rollout.reason?.text).toContain('no device has switched');
    expect(await fleet.withStanding('cancelled', 2)).toHaveLength(3);
    expect((await shadowed()).size).toBe(0);
    expect(await fleet.desired(canary)).toMatchObject({ release: 'vision:1' });
  });

  it('that is refused on a device stops it with what the device said', async () => {
    const canary = await start();
    const [module] = await fleet.world.deployments.listCurrentOf(addressOf(canary));
    const reason = { code: 'golden.mismatch', message: 'differs by 0.3' };
    const report = { digest: module?.shadow?.image.digest, version: 2, state: 'rejected', reason };
    await fleet.report(canary, { generation: 2, converged: true, modules: { detector: { shadow: report } } });
    await fleet.turn();
    const { rollout } = await fleet.rollouts.require(second);
    expect(rollout.state).toBe('paused');
    expect(rollout.reason?.text).toContain(`${canary}: detector: differs by 0.3`);
    // Somebody looked, and goes on.
    await fleet.office.order(second, { kind: 'resume' }, 'somebody');
    await fleet.turn();
    expect(await fleet.withStanding('changing', 2)).toEqual([canary]);
  });

  it('leaves none when it is aborted, nor when another takes its devices', async () => {
    await start();
    await fleet.office.order(second, { kind: 'abort', running: false }, 'somebody');
    await fleet.turn();
    expect((await shadowed()).size).toBe(0);
    await fleet.start('vision:3', { waves: [{ count: 1 }], shadow });
    await fleet.turn();
    expect((await shadowed()).size).toBe(1);
    await fleet.start('vision:2', { waves: [{ count: 1 }], onFailure: 'stop' }, true);
    await fleet.turn();
    expect((await shadowed()).size).toBe(0);
  });

  it('holds where agents know no shadows, and asks nothing of them', async () => {
    fleet.says = {};
    await fleet.obey(...names);
    await start();
    expect((await shadowed()).size).toBe(0);
    expect((await details())[0]).toMatch(/the agents of d\d do not know shadows: upgrade them/);
    expect((await history())[0]).toMatch(/^held: before the first switch: the agents of d\d do not know shadows/);
  });
});
