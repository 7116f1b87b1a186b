import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideRestart } from '#shared/supervisor/restart-policy.js';

const policy = fc.record({
  restart: fc.constantFrom('always', 'on-failure', 'never'),
  maxRestarts: fc.integer({ min: 0, max: 50 }),
  windowSeconds: fc.integer({ min: 1, max: 3600 }),
});
const exits = fc.array(fc.record({ atMs: fc.integer({ min: 0, max: 10_000_000 }), clean: fc.boolean() }), {
  maxLength: 60,
});
const input = fc.record({
  policy,
  exits,
  nowMs: fc.integer({ min: 0, max: 10_000_000 }),
  random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
});

describe('decideRestart', () => {
  it('never restarts under restart: never, once something ended', () => {
    fc.assert(
      fc.property(input, (given) => {
        fc.pre(given.exits.length > 0);
        const never = { ...given, policy: { ...given.policy, restart: 'never' as const } };
        expect(decideRestart(never).kind).toBe('stop');
      }),
    );
  });

  it('restarts at once when nothing ended yet', () => {
    fc.assert(
      fc.property(input, (given) => {
        expect(decideRestart({ ...given, exits: [] })).toEqual({ kind: 'restart', atMs: given.nowMs });
      }),
    );
  });

  it('stops exactly when the window holds more ends than restarts are allowed', () => {
    fc.assert(
      fc.property(input, (given) => {
        fc.pre(given.exits.length > 0);
        const always = { ...given, policy: { ...given.policy, restart: 'always' as const } };
        const since = given.nowMs - given.policy.windowSeconds * 1000;
        const inWindow = given.exits.filter(({ atMs }) => atMs > since).length;
        expect(decideRestart(always).kind).toBe(inWindow > given.policy.maxRestarts ? 'stop' : 'restart');
      }),
    );
  });

  it('waits between half a second less jitter and a minute after the last end, whatever the clock did', () => {
    fc.assert(
      fc.property(input, (given) => {
        const decision = decideRestart(given);
        fc.pre(decision.kind === 'restart' && given.exits.length > 0);
        const last = Math.min(given.nowMs, Math.max(...given.exits.map(({ atMs }) => atMs)));
        expect(decision.kind === 'restart' && decision.atMs - last).toBeGreaterThanOrEqual(250);
        expect(decision.kind === 'restart' && decision.atMs - last).toBeLessThanOrEqual(60_000);
      }),
    );
  });

  it('does not depend on the order of the exits', () => {
    fc.assert(
      fc.property(input, (given) => {
        const times = new Set(given.exits.map(({ atMs }) => atMs));
        fc.pre(times.size === given.exits.length);
        expect(decideRestart({ ...given, exits: [...given.exits].reverse() })).toEqual(decideRestart(given));
      }),
    );
  });

  it('leaves a clean end alone under on-failure, and restarts a crash', () => {
    const on = { restart: 'on-failure', maxRestarts: 5, windowSeconds: 60 } as const;
    const at = { policy: on, nowMs: 1000, random: 0 };
    expect(decideRestart({ ...at, exits: [{ atMs: 900, clean: true }] }).kind).toBe('stop');
    expect(decideRestart({ ...at, exits: [{ atMs: 900, clean: false }] }).kind).toBe('restart');
  });
});
