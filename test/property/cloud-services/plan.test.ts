import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planServices } from '#cloud/services/host/plan.js';
import { keyOf, type ObservedReplica, versionOf } from '#cloud/services/host/observed.js';
import { deployment, policy, services, SimulatedServices } from '#test/support/services/simulated-services.js';

/** Odd revisions start, even ones never do. */
const starts = (version: string): boolean => Number(version.split('@')[0]) % 2 === 1;

type Event =
  | { readonly kind: 'finish' | 'crash'; readonly which: number }
  | { readonly kind: 'update'; readonly by: number }
  | { readonly kind: 'scale'; readonly replicas: number }
  | { readonly kind: 'later'; readonly ms: number };

const finish = fc.record({ kind: fc.constant('finish' as const), which: fc.nat(20) });
const update = fc.record({ kind: fc.constant('update' as const), by: fc.integer({ min: 1, max: 3 }) });
const later = fc.record({ kind: fc.constant('later' as const), ms: fc.integer({ min: 1, max: 120_000 }) });
const crash = fc.record({ kind: fc.constant('crash' as const), which: fc.nat(20) });
const scale = fc.record({ kind: fc.constant('scale' as const), replicas: fc.nat(4) });
const calm = fc.array(fc.oneof({ weight: 4, arbitrary: finish }, update, later), { maxLength: 40 });
const rough = fc.array(fc.oneof({ weight: 3, arbitrary: finish }, update, later, crash, scale), { maxLength: 40 });

/** One deployment through a history. */
class History {
  readonly world = new SimulatedServices(starts);
  revision = 1;
  wanted: number;

  constructor(wanted: number) {
    this.wanted = wanted;
    this.desire();
  }

  desire(): void {
    this.world.desire(services(1, { e1: [deployment('blue', this.revision, this.wanted)] }));
  }

  play(event: Event): void {
    const { world } = this;
    if (event.kind === 'finish') this.pick(world.in('starting', 'draining'), event.which, (one) => world.finish(one));
    if (event.kind === 'crash')
      this.pick(world.in('ready', 'starting'), event.which, (one) => world.exit(one.sequence));
    if (event.kind === 'later') world.nowMs += event.ms;
    if (event.kind === 'update') this.revision += event.by;
    if (event.kind === 'scale') this.wanted = event.replicas;
    if (event.kind === 'update' || event.kind === 'scale') this.desire();
    world.settle();
  }

  private pick(from: readonly ObservedReplica[], which: number, then: (one: ObservedReplica) => void): void {
    const one = from[which % Math.max(1, from.length)];
    if (one !== undefined) then(one);
  }

  ready(): number {
    return this.world.in('ready').length;
  }
}

function rounds(world: SimulatedServices, count: number): void {
  for (let round = 0; round < count; round++) world.round();
}

describe('a plan of services', () => {
  it('never has fewer replicas ready than are wanted while revisions come, good and bad', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), calm, (wanted, events) => {
        const history = new History(wanted);
        rounds(history.world, 4);
        let fewest = wanted;
        history.world.onState = () => (fewest = Math.min(fewest, history.ready()));
        for (const event of events) history.play(event);
        expect(fewest).toBe(wanted);
      }),
      { numRuns: 100 },
    );
  });

  it('never has more than one replica beyond those wanted, whatever of them leaves', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4 }), calm, (wanted, events) => {
        const history = new History(wanted);
        let most = 0;
        history.world.onState = () => (most = Math.max(most, history.world.observed.replicas.length));
        for (const event of events) history.play(event);
        expect(most).toBeLessThanOrEqual(wanted + policy.surge);
      }),
      { numRuns: 100 },
    );
  });

  it('comes to what is desired in bounded steps, from wherever a rough history left it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4 }), rough, (wanted, events) => {
        const history = new History(wanted);
        for (const event of events) history.play(event);
        if (history.revision % 2 === 0) history.revision += 1;
        history.desire();
        const { world } = history;
        rounds(world, 2 + 3 * 5);
        expect(world.plan().actions).toEqual([]);
        expect(world.observed.replicas.map(({ state, revision }) => ({ state, revision }))).toEqual(
          Array.from({ length: history.wanted }, () => ({ state: 'ready', revision: history.revision })),
        );
      }),
      { numRuns: 60 },
    );
  });

  it('leaves what worked last to answer when a revision never starts, also after a crash of it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(fc.nat(20), { maxLength: 3 }), (wanted, crashes) => {
        const history = new History(wanted);
        rounds(history.world, 4);
        history.play({ kind: 'update', by: 1 });
        for (const which of crashes) history.play({ kind: 'crash', which });
        rounds(history.world, 12);
        const { world } = history;
        const ready = world.in('ready');
        expect(ready).toHaveLength(wanted);
        expect(new Set(ready.map(({ revision }) => revision))).toEqual(new Set([1]));
      }),
      { numRuns: 30 },
    );
  });

  it('ends everything when nothing is desired any more', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4 }), rough, (wanted, events) => {
        const history = new History(wanted);
        for (const event of events) history.play(event);
        const { world } = history;
        world.desire(services(2, {}));
        world.settle();
        expect(world.in('ready', 'starting', 'unready', 'down')).toEqual([]);
        rounds(world, 1);
        expect(world.observed).toMatchObject({ replicas: [], versions: [], kept: {} });
      }),
      { numRuns: 40 },
    );
  });

  it('is the same whatever the order of what it is made of, and lets only so many start at once', () => {
    const many = fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.nat(4)), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(many, rough, fc.infiniteStream(fc.nat()), (specs, events, draws) => {
        const world = new SimulatedServices(starts);
        const desired = services(
          1,
          Object.fromEntries(
            specs.map(([revision, wanted], index) => [
              `e${String(index)}`,
              [deployment('blue', revision, wanted), deployment('green', 1, 1)],
            ]),
          ),
        );
        let most = 0;
        world.onState = () => (most = Math.max(most, world.in('starting').length));
        world.desire(desired);
        world.settle();
        for (const event of events) {
          if (event.kind === 'later') world.nowMs += event.ms;
          const from = world.in('starting', 'draining');
          const one = event.kind === 'finish' ? from[event.which % Math.max(1, from.length)] : undefined;
          if (one !== undefined) world.finish(one);
          world.settle();
        }
        const shuffled = <T>(all: readonly T[]): T[] =>
          all
            .map((one) => ({ one, key: draws.next().value as number }))
            .sort((a, b) => a.key - b.key)
            .map(({ one }) => one);
        const { observed, nowMs } = world;
        const other = {
          ...observed,
          replicas: shuffled(observed.replicas),
          versions: shuffled(observed.versions),
        };
        const mixed = {
          ...desired,
          endpoints: shuffled(desired.endpoints).map((one) => ({ ...one, deployments: shuffled(one.deployments) })),
        };
        expect(planServices(mixed, other, nowMs, policy)).toEqual(planServices(desired, observed, nowMs, policy));
        expect(most).toBeLessThanOrEqual(policy.maxStarting);
      }),
      { numRuns: 30 },
    );
  });

  it('proves a revision with one replica before it starts more', () => {
    const world = new SimulatedServices(() => true);
    world.desire(services(1, { e1: [deployment('blue', 1, 3)] }));
    world.settle();
    expect(world.in('starting')).toHaveLength(1);
    for (const one of world.in('starting')) world.finish(one);
    world.settle();
    expect([world.in('ready').length, world.in('starting').length]).toEqual([1, 2]);
  });

  it('tries what failed for a passing reason again after a while, and what can never start only when trust changes', () => {
    const world = new SimulatedServices(() => false);
    world.desire(services(1, { e1: [deployment('blue', 1, 1)] }));
    rounds(world, 6);
    expect(world.observed.replicas).toEqual([]);
    expect(world.plan().waiting).toMatchObject([{ key: 'e1/blue', what: 'retry' }]);
    world.nowMs += policy.retryFailedMs;
    world.settle();
    expect(world.in('starting')).toHaveLength(1);
    const problem = { code: 'signature.unknown-key' as const, message: 'nobody who counts signed it' };
    const [one] = world.observed.replicas;
    world.tell({ kind: 'exited', sequence: one?.sequence ?? 0, atMs: world.nowMs, jitter: 0, problem });
    world.nowMs += 10 * policy.retryFailedMs;
    rounds(world, 2);
    expect(world.observed.replicas).toEqual([]);
    world.tell({ kind: 'trusted' });
    world.settle();
    expect(world.in('starting')).toHaveLength(1);
  });

  it('starts what worked last beside what is to prove itself, after a restart in the middle of an update', () => {
    const world = new SimulatedServices(() => true);
    world.observed = { ...world.observed, kept: { 'e1/blue': deployment('blue', 1, 2) } };
    world.desire(services(1, { e1: [deployment('blue', 3, 2)] }));
    world.settle();
    expect(world.in('starting').map(({ revision }) => revision)).toEqual([1, 1, 3]);
  });

  it('keeps apart what was deleted and made again with the same revision and another image', () => {
    const world = new SimulatedServices(() => true);
    const first = deployment('blue', 1, 1);
    world.desire(services(1, { e1: [first] }));
    rounds(world, 2);
    const again = { ...first, image: deployment('blue', 3, 1).image };
    world.desire(services(2, { e1: [again] }));
    rounds(world, 4);
    expect(world.in('ready').map((one) => [keyOf(one), one.version])).toEqual([['e1/blue', versionOf(again)]]);
  });
});
