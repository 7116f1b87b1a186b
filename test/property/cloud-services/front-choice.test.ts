import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AppError } from '#shared/kernel/errors.js';
import { CallerAccess } from '#cloud/services/front/caller-access.js';
import { leastOutstanding } from '#cloud/services/front/choose.js';
import { EndpointRoutes } from '#cloud/services/front/endpoint-routes.js';
import type { FrontReplica } from '#cloud/services/front/front-table.js';
import { Lane, type Turn } from '#cloud/services/front/lane.js';
import { Replica } from '#cloud/services/front/replica.js';
import { systemClock } from '#shared/kernel/clock.js';

const request = { timeoutMs: 1000, maxConcurrentPerReplica: 2 };

function laneOf(name: string, maxConcurrentPerReplica = 2): Lane {
  const settings = { request: { ...request, maxConcurrentPerReplica } };
  return new Lane(`deployment "${name}"`, name, settings, { monotonicMs: () => 0, need: () => undefined });
}

describe('which replica answers', () => {
  it('is one with room and the fewest under way, and whichever turn it is, one where there is one', () => {
    const crowd = fc.array(fc.record({ outstanding: fc.nat(6) }), { maxLength: 6 });
    fc.assert(
      fc.property(crowd, fc.integer({ min: 1, max: 6 }), fc.nat(20), (candidates, max, turn) => {
        const fewest = Math.min(...candidates.map(({ outstanding }) => outstanding));
        const chosen = leastOutstanding(candidates, max, turn);
        expect(chosen?.outstanding).toBe(fewest < max ? fewest : undefined);
      }),
    );
  });
});

describe('which deployment answers', () => {
  it('has exactly its share of a hundred draws that are spread evenly', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(100), { minLength: 1, maxLength: 5 }), (cuts) => {
        const edges = [0, ...cuts.toSorted((a, b) => a - b), 100];
        const weights = edges.slice(1).map((edge, index) => edge - (edges[index] ?? 0));
        const traffic = Object.fromEntries(weights.map((weight, index) => [`d${String(index)}`, weight]));
        const lanes = new Map(weights.map((_, index) => [`d${String(index)}`, laneOf(`d${String(index)}`)]));
        const listed = {
          id: 'e',
          workspace: 'w',
          name: 'e',
          auth: { mode: 'none' as const },
          deployments: [],
          traffic,
        };
        const access = new CallerAccess(listed.auth, 'e', { hostNames: [], addresses: [] }, systemClock);
        const routes = new EndpointRoutes(listed, access, lanes);
        const counts = weights.map(() => 0);
        for (let draw = 0; draw < 100; draw++) {
          const { lane } = routes.choose(undefined, () => (draw + 0.5) / 100);
          const index = Number(lane.name.slice(1));
          counts[index] = (counts[index] ?? 0) + 1;
        }
        expect(counts).toEqual(weights);
      }),
      { numRuns: 30 },
    );
  });
});

type Step =
  | { readonly kind: 'ask' }
  | { readonly kind: 'release'; readonly which: number }
  | { readonly kind: 'leave'; readonly which: number }
  | { readonly kind: 'set'; readonly states: readonly FrontReplica['state'][] };

const state = fc.constantFrom<FrontReplica['state']>('ready', 'ready', 'draining');
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('ask' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('release' as const), which: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), which: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('set' as const), states: fc.array(state, { maxLength: 3 }) }) },
);

describe('a deployment under any traffic', () => {
  it('never overloads a replica, lets nobody wait beyond its bound or out of turn, and forgets nobody', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), fc.array(step, { maxLength: 60 }), (max, steps) => {
        const lane = laneOf('blue', max);
        const settings = { request: { ...request, maxConcurrentPerReplica: max } };
        const replicas = [0, 1, 2].map((index) => {
          const listed: FrontReplica = { id: String(index), address: { socketPath: '/none' }, state: 'draining' };
          return new Replica(listed, { monotonicMs: () => 0, sick: () => undefined, idle: () => undefined });
        });
        let next = 0;
        let waiting: number[] = [];
        let underWay: { readonly number: number; readonly replica: Replica }[] = [];
        const turns: Turn[] = [];
        let ready = 0;

        const turn = (number: number): Turn => ({
          tried: [],
          given: (replica) => {
            expect(replica.ready).toBe(true);
            expect(replica.outstanding).toBeLessThanOrEqual(max);
            expect(number).toBe(waiting[0]);
            waiting.shift();
            underWay.push({ number, replica });
          },
          refused: ({ code }: AppError) => {
            waiting = waiting.filter((other) => other !== number);
            if (code === 'score.overloaded') {
              expect(replicas.filter((one) => one.ready).every((one) => one.outstanding === max)).toBe(true);
              expect(waiting.length).toBe(ready * max);
            } else expect(ready).toBe(0);
          },
        });
        const act = (one: Step): void => {
          if (one.kind === 'ask') {
            const number = next++;
            const asked = turn(number);
            turns[number] = asked;
            waiting.push(number);
            lane.ask(asked);
          } else if (one.kind === 'release') {
            const [ended] = underWay.splice(one.which % Math.max(1, underWay.length), 1);
            if (ended) lane.release(ended.replica);
          } else if (one.kind === 'leave') {
            const number = waiting[one.which % Math.max(1, waiting.length)];
            const left = number === undefined ? undefined : turns[number];
            waiting = waiting.filter((other) => other !== number);
            if (left) lane.leave(left);
          } else {
            ready = one.states.filter((each) => each === 'ready').length;
            const now = one.states.flatMap((each, index) => {
              const replica = replicas[index];
              replica?.set(each);
              return replica ? [replica] : [];
            });
            for (const replica of replicas) if (!now.includes(replica)) replica.set('gone');
            lane.set(settings, now);
          }
        };
        for (const one of steps) act(one);
        // Whoever was let in has an end, where the replicas go on.
        act({ kind: 'set', states: ['ready'] });
        while (underWay.length > 0) act({ kind: 'release', which: 0 });
        expect(waiting).toEqual([]);
        expect(replicas.map(({ outstanding }) => outstanding)).toEqual([0, 0, 0]);
        underWay = [];
      }),
      { numRuns: 150 },
    );
  });
});
