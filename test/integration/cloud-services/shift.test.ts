import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AlertRepository } from '#cloud/alerts/alert-repository.js';
import { alertRuleSchema } from '#cloud/alerts/alert-rule.js';
import type { ShiftNotice } from '#cloud/alerts/shift-notice.js';
import { ShiftCloud } from '#test/support/services/shift-cloud.js';
import { HistoryRetention } from '#cloud/store/history-retention.js';
import { ShiftRepository } from '#cloud/services/shift/shift-repository.js';

let cloud: ShiftCloud;
beforeEach(async () => {
  cloud = await ShiftCloud.open();
});
afterEach(() => cloud.close());

const at = '2026-01-01T00:00:00.000Z';
const errors = { kind: 'errors', maxPercent: 2, minSamples: 50 };
const gates = { errors };
const green = { traffic: { green: 100 }, mirror: undefined };
const blue = { traffic: { blue: 100 }, mirror: undefined };
const tenth = { traffic: { blue: 90, green: 10 }, mirror: undefined };

/** A moment later. */
const later = (seconds = 10): number => (cloud.clock.nowMs += seconds * 1000);

describe('a shift', () => {
  it('gives copies, then traffic step by step, each once what came before it is good', async () => {
    await cloud.start({ mirror: { percent: 20, seconds: 0, minCompared: 50, compare: { kind: 'top-1' } }, gates });
    expect((await cloud.turn()).shift.stage).toBe(0);
    expect(await cloud.traffic()).toEqual({ traffic: { blue: 100 }, mirror: 'green=20' });
    expect((await cloud.document().current())?.endpoints[0]?.mirror?.compare).toEqual({ kind: 'top-1' });
    later();
    await cloud.tellCopies(500, 500);
    await cloud.turn();
    expect(await cloud.traffic()).toEqual(tenth);
    // What it did before the step, and what others do, says nothing of it.
    later();
    await cloud.tell('blue', 500);
    await cloud.turn();
    expect(await cloud.traffic()).toEqual(tenth);
    await cloud.tell('green', 500);
    await cloud.turn();
    expect(await cloud.traffic()).toEqual(green);
    expect((await cloud.newest()).shift.state).toBe('running');
    later();
    await cloud.tell('green', 500);
    expect(await cloud.turn()).toMatchObject({ shift: { state: 'succeeded' }, endedAt: expect.any(String) as string });
    const history = await cloud.history();
    expect(history[0]).toBe('started: green (digits:2) by copies of 20%, 10%, 100%');
    expect(history).toContain('step: copies of 20%: blue=100 mirror green=20');
    expect(history).toContain('step: step 1 of 2, 10%: blue=90 green=10');
    expect(history.at(-1)).toBe('succeeded: it answers every request');
  });

  it('goes back at once when a gate fails, and keeps the reason with the numbers', async () => {
    await cloud.start({ gates });
    await cloud.turn();
    expect(await cloud.traffic()).toEqual(tenth);
    later();
    await cloud.tell('green', 100, { errors: { 'score.failed': 30 } });
    const stored = await cloud.turn();
    expect(await cloud.traffic()).toEqual(blue);
    const text = 'gate errors: errors of digits is 30%, more than 2%, of 100; at 10%';
    expect(stored.shift).toMatchObject({ state: 'returned', reason: { code: 'gate', text, gates: ['errors'] } });
    expect((await cloud.history()).at(-1)).toBe(`returned: ${text}; back to blue=100`);
    const kept = await new ShiftRepository(cloud.control).verdicts(stored);
    expect(kept).toMatchObject([{ stage: 0, gate: 'errors', verdict: 'fail', value: 0.3, samples: 100 }]);
  });

  it('never gives traffic to one that answers otherwise than what answers', async () => {
    await cloud.start({ mirror: { percent: 50, minCompared: 50 } });
    await cloud.turn();
    later();
    await cloud.tellCopies(200, 100);
    const { shift } = await cloud.turn();
    expect(shift.reason?.text).toContain('disagreement of digits is 50%, more than 1%');
    expect(shift.reason?.text).toContain('by copies, it has answered nobody');
    expect(await cloud.traffic()).toEqual(blue);
  });

  it('is judged beside what answers too, since the step began', async () => {
    await cloud.tell('blue', 100, { errors: { 'score.failed': 100 } });
    later();
    await cloud.start({ gates: { errors: { kind: 'errors', maxIncrease: 2, minSamples: 50 } } });
    await cloud.turn();
    later();
    await cloud.tell('green', 200, { errors: { 'score.failed': 20 } });
    await cloud.turn();
    expect(await cloud.traffic()).toEqual(tenth);
    expect((await cloud.history()).at(-1)).toBe(
      'held: gate errors: errors of digits lacks 0 of 50 requests to compare with',
    );
    await cloud.tell('blue', 200);
    expect((await cloud.turn()).shift).toMatchObject({ state: 'returned' });
  });

  it.each([
    { green: 120e6, ends: 'succeeded', text: undefined },
    {
      ...{ green: 300e6, ends: 'returned' },
      text: 'gate memory: memory of hosts is 286 MiB, more than 143 MiB (95.4 MiB to compare with), of 3; at 10%',
    },
  ])(
    'is judged by the memory of its replicas beside those of the others: $ends',
    async ({ green: bytes, ends, text }) => {
      cloud.memory.green = bytes;
      const memory = { kind: 'memory', maxRatio: 1.5, minSamples: 3 };
      await cloud.start({ gates: { memory } });
      const controller = cloud.controller();
      for (let look = 0; look < 8; look++) {
        controller.wake();
        await controller.idle();
        later(2);
      }
      await controller.stop();
      const { state, reason } = (await cloud.newest()).shift;
      expect({ state, text: reason?.text }).toEqual({ state: ends, text });
      const early = { gates: { memory: { ...memory, reference: 'before' } } };
      await expect(cloud.start(early)).rejects.toThrow('only peers can be compared with');
    },
  );

  it('holds while nothing is told, says what it lacks once, and goes back when its time is over', async () => {
    await cloud.start({ gates, totalTimeoutSeconds: 100 });
    for (let look = 0; look < 3; look++) {
      await cloud.turn();
      later();
    }
    const held = (await cloud.history()).filter((line) => line.startsWith('held'));
    expect(held).toEqual(['held: gate errors: errors of digits lacks 0 of 50 requests']);
    later(100);
    expect((await cloud.turn()).shift).toMatchObject({ state: 'returned', reason: { code: 'total-timeout' } });
    expect(await cloud.traffic()).toEqual(blue);
  });

  it('waits for a person where the policy says so, who goes on in spite of the gate or leads back', async () => {
    await cloud.start({ gates, onFailure: 'pause' });
    await cloud.turn();
    later();
    await cloud.tell('green', 100, { errors: { 'score.failed': 30 } });
    expect((await cloud.turn()).shift.state).toBe('paused');
    expect(await cloud.traffic()).toEqual(tenth);
    await cloud.order('resume');
    expect((await cloud.turn()).shift).toMatchObject({ state: 'running', stage: 1 });
    expect(await cloud.traffic()).toEqual(green);
    const told: unknown[] = [];
    cloud.live.subscribe('default', ({ type, data }) => told.push([type, data]));
    expect((await cloud.order('abort')).shift).toMatchObject({ state: 'aborted' });
    expect(told).toMatchObject([['shift.changed', { kind: 'aborted', state: 'aborted' }]]);
    expect(await cloud.traffic()).toEqual(blue);
    await expect(cloud.order('pause')).rejects.toMatchObject({ code: 'shift.state' });
    expect((await cloud.history()).at(-1)).toBe('aborted: aborted by a person; back to blue=100, by ann');
  });

  it('ends when somebody sets the traffic or updates a deployment, and what they did stands', async () => {
    await cloud.start({ gates });
    await cloud.turn();
    await cloud.endpoints().setTraffic('default', 'fraud', { traffic: { blue: 40, green: 60 } });
    const { shift } = await cloud.turn();
    expect(shift).toMatchObject({ state: 'overtaken' });
    expect(shift.reason?.text).toContain('the traffic was set to blue=40 green=60');
    expect((await cloud.traffic()).traffic).toEqual({ blue: 40, green: 60 });
    await cloud.start({ steps: [{ percent: 100 }] });
    await cloud.deploy('green', `sha256:${'b'.repeat(64)}`);
    expect((await cloud.turn()).shift.reason?.text).toContain('green was updated to revision 2');
    expect((await cloud.traffic()).traffic).toEqual({ blue: 40, green: 60 });
    await cloud.start({ steps: [{ percent: 100 }] });
    await cloud.endpoints().delete('default', 'fraud', true);
    expect((await cloud.turn()).shift.reason?.text).toContain('the endpoint was deleted');
  });

  it('begins when the target is ready, and fails with the reason when it cannot be', async () => {
    cloud.state = { state: 'starting' };
    await cloud.start({});
    later(3600);
    expect((await cloud.turn()).shift).toMatchObject({ state: 'running', stage: -1 });
    cloud.state = { state: 'failed', problem: { code: 'golden.mismatch', message: 'other answers' } };
    const { shift } = await cloud.turn();
    expect(shift.reason).toMatchObject({ code: 'not-ready', text: 'green does not start: other answers' });
    expect(await cloud.traffic()).toEqual(blue);
  });

  it('goes back when the target loses its replicas for longer than it may, not while the service host is away', async () => {
    await cloud.start({ steps: [{ percent: 10, bakeSeconds: 3600 }, { percent: 100 }], unreadySeconds: 20 });
    await cloud.turn();
    cloud.hostAway = true;
    later(60);
    expect((await cloud.turn()).shift.state).toBe('running');
    cloud.hostAway = false;
    cloud.state = { state: 'unhealthy', problem: { code: 'process.failed', message: 'it crashed' } };
    const controller = cloud.controller();
    for (const seconds of [0, 10, 11]) {
      later(seconds);
      controller.wake();
      await controller.idle();
    }
    await controller.stop();
    expect((await cloud.newest()).shift.reason?.text).toBe(
      'green has 0 of 1 replicas ready: it crashed, for more than 20 s',
    );
  });

  it('is refused where it makes no sense, and while another is under way', async () => {
    const refused = (policy: object, to?: 'blue'): Promise<unknown> =>
      cloud.start(policy, to).catch((error: Error) => error.message);
    expect(await refused({}, 'blue')).toContain('blue answers every request of fraud already');
    expect(await refused({ steps: [{ percent: 50 }] })).toContain('end with { percent: 100 }');
    expect(await refused({ steps: [{ percent: 50 }, { percent: 20 }] })).toContain('steps.1: percent must rise');
    const beside = { speed: { kind: 'latency', maxRatio: 2 } };
    expect(await refused({ steps: [{ percent: 100 }], gates: beside })).toContain('compare with reference: before');
    const strange = { classes: { kind: 'drift', module: 'digit', tensor: 'output.label' } };
    expect(await refused({ gates: strange })).toContain('did you mean "digits"?');
    await cloud.start({});
    expect(await refused({})).toContain('shift 1 of fraud to green is running');
  });
});

it('ended shifts go when they are old, but for the newest, whose number must not come again', async () => {
  for (let shifts = 0; shifts < 2; shifts++) {
    await cloud.start({ steps: [{ percent: 50, bakeSeconds: 3600 }, { percent: 100 }] });
    await cloud.turn();
    await cloud.order('abort');
  }
  const limits = { activityDays: 90, commandDays: 30, rolloutDays: 365, rolloutHistoryEntries: 100 };
  const retention = new HistoryRetention(cloud.control, cloud.clock, limits);
  expect(await retention.run()).toEqual({});
  later(400 * 86_400);
  expect(await retention.run()).toMatchObject({ shifts: 1, shiftHistory: 3 });
  expect((await cloud.newest()).number).toBe(2);
});

describe('a control plane that is cut off at each of its questions', () => {
  it('does when it is started anew exactly what one does that lives on', async () => {
    const other = await ShiftCloud.open();
    const tell = async (one: ShiftCloud, round: number): Promise<void> => {
      one.clock.nowMs += 10_000;
      await one.tell('green', 500, round < 1 ? {} : { errors: { 'score.failed': 400 } });
    };
    const picture = async (one: ShiftCloud): Promise<object> => {
      const document = await one.document().current();
      const { shift, revision } = await one.newest();
      const kept = await new ShiftRepository(one.control).verdicts(await one.newest());
      const told = await one.control.selectFrom('alertOutbox').select(['destination', 'payload']).execute();
      return { document, shift, revision, history: await one.history(), kept, told };
    };
    let kills = 0;
    try {
      const rule = alertRuleSchema.parse({ name: 'shifts', shift: 'any', endpoint: 'fraud', notify: ['ops'] });
      for (const one of [cloud, other]) {
        await new AlertRepository(one.control).putRule({ workspace: 'default', rule, createdAt: at, updatedAt: at });
        await one.start({ gates });
      }
      for (let round = 0; round < 3; round++) {
        for (let look = 0; look < 2; look++) await cloud.turn();
        await tell(cloud, round);
        for (let n = 1; ; n++) {
          const before = JSON.stringify(await picture(other));
          let asked = 0;
          const failing = other.control.withPlugin({
            transformQuery: ({ node }) => {
              asked += 1;
              if (asked >= n) throw new Error('killed');
              return node;
            },
            transformResult: async ({ result }) => result,
          });
          await other.turn(failing);
          if (asked < n) break;
          kills += 1;
          // Either nothing of a step is there, or all of it: then the next one is tried from its first question.
          if (JSON.stringify(await picture(other)) !== before) n = 0;
        }
        await tell(other, round);
      }
      expect(kills).toBeGreaterThan(20);
      expect((await other.newest()).shift.state).toBe('returned');
      expect(await picture(other)).toEqual(await picture(cloud));
      // Each transition once to the log and once to the webhook, in the order of the history.
      const told = await other.control
        .selectFrom('alertOutbox')
        .select(['destination', 'payload'])
        .orderBy('id')
        .execute();
      for (const to of ['', 'ops']) {
        const notices = told.filter(({ destination }) => destination === to);
        const types = notices.map(({ payload }) => (JSON.parse(payload) as ShiftNotice).type);
        expect(types).toEqual((await other.history()).map((line) => `shift.${line.replace(/:.*$/, '')}`));
      }
    } finally {
      await other.close();
    }
  });
});
