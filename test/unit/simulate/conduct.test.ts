import { expect, test } from 'vitest';
import { conductWith, deviceRandom, groupOf } from '#agent/simulate/conduct.js';
import { simulationProfileSchema } from '#shared/protocol/simulation.js';

const profile = simulationProfileSchema.parse({
  latencyMs: 5,
  groups: [
    { name: 'slow', percent: 10, latencyMs: 50, with: ['digits:2', 'faces'] },
    { name: 'rejecting', percent: 5, rejects: true },
  ],
});
const groupsOf = (seed: number): (string | undefined)[] =>
  Array.from({ length: 10_000 }, (_, number) => groupOf(profile, deviceRandom(seed, number)())?.name);

test('the same seed gives the same fleet, and another seed another one of the same shares', () => {
  const [one, again, other] = [groupsOf(1), groupsOf(1), groupsOf(2)];
  expect(again).toEqual(one);
  expect(other).not.toEqual(one);
  for (const fleet of [one, other]) {
    // Of 10,000, three standard deviations: 90 and 66.
    expect(Math.abs(fleet.filter((name) => name === 'slow').length - 1000)).toBeLessThan(100);
    expect(Math.abs(fleet.filter((name) => name === 'rejecting').length - 500)).toBeLessThan(70);
  }
});

test('a group behaves otherwise only with the images that it names, a name alone standing for each version', () => {
  const [slow, rejecting] = profile.groups;
  const latency = (name: string, version: number): number => conductWith(profile, slow, { name, version }).latencyMs;
  expect([latency('digits', 2), latency('faces', 7)]).toEqual([50, 50]);
  expect([latency('digits', 1), latency('digits', 20)]).toEqual([5, 5]);
  expect(conductWith(profile, rejecting, { name: 'digits', version: 1 })).toMatchObject({
    rejects: true,
    latencyMs: 5,
  });
  expect(conductWith(profile, undefined, { name: 'digits', version: 2 })).toMatchObject({ rejects: false });
});
