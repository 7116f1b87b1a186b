import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judge } from '#agent/routes/ask-module.js';
import { onlyInputIn } from '#agent/routes/model-inputs.js';
import { parseBroker } from '#agent/routes/route-settings.js';
import { matcherOf } from '#agent/routes/sources/name-pattern.js';
import { EventTarget, maxEventBytes, TelemetryTarget } from '#agent/routes/targets/cloud-target.js';
import { numbersIn } from '#agent/routes/targets/numbers-in.js';
import { RateBudget } from '#agent/routes/targets/rate-budget.js';
import type { DeviceEvent } from '#shared/protocol/stream.js';

const json = (value: unknown) => ({ bytes: Buffer.from(JSON.stringify(value)), json: true, source: 'plant/1' });

describe('names with wildcards', () => {
  it('match as the pattern means, whatever it is', () => {
    const letters = fc.array(fc.constantFrom('a', 'b', '.', '*', '?'), { maxLength: 8 }).map((all) => all.join(''));
    const names = fc.array(fc.constantFrom('a', 'b', '.'), { maxLength: 8 }).map((all) => all.join(''));
    fc.assert(
      fc.property(letters, names, (pattern, name) => {
        const meant = pattern.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.');
        expect(matcherOf(pattern)(name)).toBe(new RegExp(`^${meant}$`).test(name));
      }),
    );
  });

  it('take no time that grows with how stars can be shared out', () => {
    expect(matcherOf('*a'.repeat(60))(`${'a'.repeat(250)}b`)).toBe(false);
  });
});

describe('numbers in an answer', () => {
  it('go by where they stand', () => {
    expect(numbersIn({ score: 0.5, ok: true, bearing: { temperature: -3 }, list: [1], text: 'x' })).toEqual([
      ['score', 0.5],
      ['ok', 1],
      ['bearing.temperature', -3],
    ]);
    expect(numbersIn(7)).toEqual([['value', 7]]);
  });

  it('are bounded in number and depth, whatever the answer is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (answer) => {
        const found = numbersIn(answer);
        expect(found.length).toBeLessThanOrEqual(16);
        for (const [, value] of found) expect(Number.isFinite(value)).toBe(true);
      }),
    );
  });
});

describe('to the cloud', () => {
  const open = (maxPerMinute: number) => {
    const raised: Omit<DeviceEvent, 'at'>[] = [];
    let now = 0;
    const ports = {
      ...{ module: 'm', output: 'alarms', maxPerMinute, now: () => now },
      raise: (event: Omit<DeviceEvent, 'at'>) => raised.push(event),
    };
    return { ports, raised, later: (ms: number) => (now += ms) };
  };

  it('an answer is an event with what it came from', async () => {
    const { ports, raised } = open(60);
    await new EventTarget(ports).send(json({ level: 5 }));
    expect(raised).toEqual([
      {
        ...{ level: 'info', type: 'module.output', module: 'm', message: 'alarms: {"level":5}' },
        details: { output: 'alarms', source: 'plant/1', value: { level: 5 } },
      },
    ]);
  });

  it('no more go a minute than the route lets through', async () => {
    const { ports, raised, later } = open(10);
    const target = new EventTarget(ports);
    for (let at = 0; at < 12; at++) await target.send(json(at));
    expect(raised).toHaveLength(10);
    expect(await target.send(json(0))).toMatchObject({ reason: 'rate' });
    later(6000);
    expect(await target.send(json(0))).toEqual({ kind: 'sent' });
  });

  it('what is larger than an event may be is refused as that', async () => {
    const { ports, raised } = open(60);
    expect(await new EventTarget(ports).send(json('x'.repeat(maxEventBytes)))).toMatchObject({ reason: 'too-large' });
    expect(raised).toEqual([]);
  });

  it('numbers are summed up over the interval, and told once', async () => {
    const target = new TelemetryTarget(open(60).ports);
    for (const score of [2, -1, 5]) await target.send(json({ score }));
    expect(target.takeValues()).toEqual({ score: { count: 3, sum: 6, min: -1, max: 5, last: 5 } });
    expect(target.takeValues()).toBeUndefined();
    expect(await target.send(json('no number'))).toMatchObject({ reason: 'undecodable' });
  });

  it('a budget fills up to a minute and no further', () => {
    const budget = new RateBudget(60, 0);
    const taken = (now: number, tries: number) =>
      Array.from({ length: tries }, () => budget.take(now)).filter(Boolean).length;
    expect([taken(0, 100), taken(1000, 5), taken(3_600_000, 100)]).toEqual([60, 1, 60]);
  });
});

describe('what a module answers', () => {
  it('is one payload, or one for each value that it yields', () => {
    const events = 'data: {"a":1}\n\ndata: 2\n\nevent: error\ndata: {"message":"x"}\n\n';
    const asked = judge(200, 'text/event-stream', Buffer.from(events), 's');
    expect(asked.kind === 'answered' && asked.payloads.map(({ bytes }) => bytes.toString('utf8'))).toEqual([
      '{"a":1}',
      '2',
    ]);
    expect(judge(200, 'application/octet-stream', Buffer.from([1]), undefined)).toMatchObject({
      payloads: [{ json: false }],
    });
  });

  it('names the only input of a model, or none', () => {
    expect(onlyInputIn('{"inputs":[{"name":"image"}]}')).toBe('image');
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => void onlyInputIn(text)));
    expect(onlyInputIn('{"inputs":[{"name":"a"},{"name":"b"}]}')).toBeUndefined();
  });
});

describe('a broker in the settings', () => {
  it('is a name and where it is, with who may pass', () => {
    expect(parseBroker('plant=mqtt://10.0.0.5')).toEqual({ name: 'plant', url: 'mqtt://10.0.0.5' });
    expect(parseBroker('plant=mqtts://edge:s%40cret@broker.site:8883')).toEqual({
      ...{ name: 'plant', url: 'mqtts://broker.site:8883', username: 'edge', password: 's@cret' },
    });
  });

  it.each(['plant', 'plant=', 'Plant=mqtt://a', 'plant=http://a', 'plant=mqtt://', 'plant=mqtt://a/path', '=mqtt://a'])(
    'is not %j',
    (text) => {
      expect(parseBroker(text)).toBeUndefined();
    },
  );
});
