import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parse } from 'yaml';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BoundedQueue } from '#agent/routes/bounded-queue.js';
import { bytesItem, type Payload, type RouteItem } from '#agent/routes/payload.js';
import type { ActiveModule, PlannedRoute } from '#agent/routes/plan.js';
import { Routes } from '#agent/routes/routes.js';
import type { SourcePorts } from '#agent/routes/sources/source.js';
import { ModuleTarget } from '#agent/routes/targets/module-target.js';
import { type Sent, sent, type Target } from '#agent/routes/targets/target.js';
import { systemClock } from '#shared/kernel/clock.js';
import { moduleManifestSchema } from '#shared/package/module-manifest.js';
import { routeOverridesSchema } from '#shared/protocol/route.js';

interface Request {
  readonly path: string;
  readonly input: string;
  readonly source: string;
  readonly body: string;
}

/** A scoring port whose answers the test decides. */
let server: Server;
let answer: (request: Request, response: ServerResponse) => void;
let asked: Request[];
let routes: Routes;
/** What each outward route was given, and how it answers. */
let given: Record<string, string[]>;
let sends: (planned: PlannedRoute) => Sent;
let sources: Map<string, SourcePorts>;
const bugs: unknown[] = [];

const flat = (body: object, response: ServerResponse, status = 200): void => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
};
const headerOf = (request: IncomingMessage, name: string): string =>
  decodeURIComponent(String(request.headers[name] ?? ''));

beforeEach(async () => {
  asked = [];
  given = {};
  bugs.length = 0;
  sources = new Map();
  sends = () => sent;
  answer = ({ body }, response) => flat({ answered: JSON.parse(body) as unknown }, response);
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (part: Buffer) => {
      body += part.toString('utf8');
    });
    request.on('end', () => {
      const one = {
        path: request.url ?? '',
        input: headerOf(request, 'flotilla-input'),
        source: headerOf(request, 'flotilla-source'),
        body,
      };
      asked.push(one);
      answer(one, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const scoring = { address: '127.0.0.1', port: (server.address() as AddressInfo).port, token: 'secret' };
  const inputOf = async (module: string, flavor: PlannedRoute['flavor']) => ({
    ...{ module, flavor, tensor: () => Promise.resolve('x'), decodeImage: () => Promise.resolve(new Uint8Array(4)) },
  });
  routes = new Routes({
    inward: {
      ...{ clock: systemClock, random: () => 0, scoring, maxAnswerBytes: 1000, inputOf },
      openSource: ({ module, name }, ports) => {
        sources.set(`${module}.${name}`, ports);
        return { stop: () => void sources.delete(`${module}.${name}`) };
      },
      onBug: (error) => bugs.push(error),
    },
    outward: {
      ...{ clock: systemClock, random: () => 0 },
      openTarget: (planned): Target => {
        const { to } = planned.route;
        if ('module' in to) {
          return new ModuleTarget({
            ...{ module: to.module, input: to.input, scoring, maxAnswerBytes: 1000 },
            inputOf: async () => (routes.module(to.module) === undefined ? undefined : inputOf(to.module, 'node')),
            onAnswer: (name, payload, signal) => routes.answered(name, payload, signal),
          });
        }
        return {
          send: (payload) => {
            const result = sends(planned);
            const key = `${planned.module}.${planned.name}`;
            if (result.kind === 'sent') given[key] = [...(given[key] ?? []), payload.bytes.toString('utf8')];
            return Promise.resolve(result);
          },
        };
      },
      onBug: (error) => bugs.push(error),
    },
    refusal: () => undefined,
    onPlanned: () => undefined,
    onBug: (error) => bugs.push(error),
  });
});
afterEach(async () => {
  await routes.stop();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  expect(bugs).toEqual([]);
});

function module(name: string, yaml: string, overrides?: object): ActiveModule {
  const head = { schema: 1, name, flavor: 'node', entry: 's.js', models: [{ name: 'a', file: 'a.onnx' }] };
  const manifest = moduleManifestSchema.parse({ ...head, routes: parse(yaml) as unknown });
  return { name, manifest, overrides: overrides && routeOverridesSchema.parse(overrides) };
}

const inward = 'in: { from: { topic: t }, to: { input: amlInput } }';
const outward = 'out: { from: { output: amlOutput }, to: { topic: answers } }';
const until = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await systemClock.sleep(5);
};
const queueOf = (route: string): BoundedQueue<RouteItem> => {
  const ports = sources.get(route);
  if (ports === undefined) throw new Error(`no source ${route}`);
  return ports.queue;
};
const opened = (route: string): Promise<void> => until(() => sources.has(route));
const feed = (route: string, value: unknown, source?: string): void =>
  void queueOf(route).press(bytesItem(Buffer.from(JSON.stringify(value)), source));
const lossOf = (route: string): Record<string, number> =>
  routes.view().find((view) => `${view.module}.${view.route}` === route)?.counts.dropped ?? {};
const text = (value: unknown): Payload => ({ bytes: Buffer.from(JSON.stringify(value)), json: true });

describe('an item on its way', () => {
  it('is asked of the module with its input and source, and its answer goes to the default output', async () => {
    routes.apply([module('m', `${inward}\n${outward}`)]);
    await opened('m.in');
    feed('m.in', { level: 1 }, 'plant/ü');
    await until(() => given['m.out'] !== undefined);
    expect(asked).toEqual([{ path: '/score/m', input: 'amlInput', source: 'plant/ü', body: '{"level":1}' }]);
    expect(given).toEqual({ 'm.out': ['{"answered":{"level":1}}'] });
  });

  it('is asked again while the module cannot answer, and is not lost', async () => {
    let tries = 0;
    answer = (_request, response) => {
      tries += 1;
      if (tries < 3) flat({ message: 'starting' }, response, 503);
      else flat({ ok: true }, response);
    };
    routes.apply([module('m', `${inward}\n${outward}`)]);
    await opened('m.in');
    feed('m.in', 1);
    await until(() => given['m.out'] !== undefined);
    expect(tries).toBe(3);
    expect(lossOf('m.in')).toEqual({});
  });

  it.each([
    [400, 'refused'],
    [413, 'too-large'],
    [500, 'failed'],
  ])('that the module answers with %d is lost as %s, with the reason', async (status, reason) => {
    answer = (_request, response) => flat({ message: 'no such level' }, response, status);
    routes.apply([module('m', inward)]);
    await opened('m.in');
    feed('m.in', 1, 'plant/1');
    await until(() => lossOf('m.in')[reason] === 1);
    expect(routes.view()[0]?.lastLoss).toMatch(/plant\/1: .*no such level/);
  });

  it('that is no JSON never reaches the module', async () => {
    routes.apply([module('m', inward)]);
    await opened('m.in');
    queueOf('m.in').press(bytesItem(Buffer.from('{"half'), undefined));
    await until(() => lossOf('m.in')['undecodable'] === 1);
    expect(asked).toEqual([]);
  });

  it('whose answer is larger than an answer may be is lost as that', async () => {
    answer = (_request, response) => flat({ text: 'x'.repeat(2000) }, response);
    routes.apply([module('m', inward)]);
    await opened('m.in');
    feed('m.in', 1);
    await until(() => lossOf('m.in')['too-large'] === 1);
  });

  it('under which what answers ends three times is given up, and the next is answered', async () => {
    answer = ({ body }, response) => {
      if (body === '"poison"') response.destroy();
      else flat({ ok: true }, response);
    };
    routes.apply([module('m', `${inward}\n${outward}`)]);
    await opened('m.in');
    feed('m.in', 'poison');
    feed('m.in', 'fine');
    await until(() => given['m.out'] !== undefined);
    expect(lossOf('m.in')).toEqual({ failed: 1 });
    expect(asked.map(({ body }) => body)).toEqual(['"poison"', '"poison"', '"poison"', '"fine"']);
  });
});

describe('routes over modules', () => {
  it('lead from the answer of one to the other, by either of them', async () => {
    const [there, own] = ['to: { module: b, input: amlInput }', 'from: { module: b, output: amlOutput }'];
    routes.apply([
      module('a', `${inward}\nnext: { from: { output: amlOutput }, ${there} }`),
      module('b', '{}'),
      module('c', `more: { ${own}, to: { input: amlInput } }\n${outward}`),
    ]);
    await opened('a.in');
    feed('a.in', 1);
    await until(() => given['c.out'] !== undefined);
    expect(asked.map(({ path }) => path)).toEqual(['/score/a', '/score/b', '/score/c']);
  });

  it('to a module that is not there are counted', async () => {
    routes.apply([module('a', 'next: { from: { output: found }, to: { module: b, input: amlInput } }')]);
    await until(() => routes.view().length === 1);
    await systemClock.sleep(10);
    routes.emitted('a', 'found', text(1));
    await until(() => lossOf('a.next')['no-module'] === 1);
  });

  it('in a circle do not run, and say so', async () => {
    const back = 'back: { from: { module: b, output: amlOutput }, to: { input: amlInput } }';
    routes.apply([
      module('a', `next: { from: { output: x }, to: { module: b, input: amlInput } }\n${back}`),
      module('b', '{}'),
    ]);
    await until(() => routes.view().length === 2);
    for (const { problem } of routes.view()) expect(problem).toMatch(/part of a circle/);
  });
});

describe('routes that change', () => {
  it('keep what waits when another version answers, which then gets it', async () => {
    let isUp = false;
    answer = ({ body }, response) => (isUp ? flat({ by: body }, response) : flat({ message: 'later' }, response, 503));
    routes.apply([module('m', inward)]);
    await opened('m.in');
    for (let at = 0; at < 5; at++) feed('m.in', at);
    routes.apply([module('m', `${inward}\n${outward}`)]);
    await until(() => routes.view().length === 2);
    isUp = true;
    await until(() => given['m.out']?.length === 5);
    expect(given['m.out']).toEqual(['0', '1', '2', '3', '4'].map((body) => JSON.stringify({ by: body })));
    expect(lossOf('m.in')).toEqual({});
  });

  it('are those of the deployment where it says so, and none where it switches one off', async () => {
    const other = { out: { from: { output: 'amlOutput' }, to: { topic: 'elsewhere' } }, in: null };
    routes.apply([module('m', `${inward}\n${outward}`, other)]);
    await until(() => routes.view().length === 1);
    expect(routes.view()[0]?.way).toBe('output amlOutput -> topic elsewhere');
  });

  it('that end give back what waits, and count it', async () => {
    answer = (_request, response) => flat({ message: 'later' }, response, 503);
    routes.apply([module('m', inward)]);
    await opened('m.in');
    const outcomes: string[] = [];
    const item = { ...bytesItem(Buffer.from('1'), undefined), settled: (outcome: string) => outcomes.push(outcome) };
    for (let at = 0; at < 3; at++) queueOf('m.in').press(item as unknown as RouteItem);
    routes.apply([]);
    await until(() => outcomes.length === 3);
    expect(outcomes).toEqual(['gone', 'gone', 'gone']);
    expect(routes.takeMetrics()).toEqual({ m: { in: { in: 0, out: 0, dropped: { gone: 3 } } } });
  });
});

describe('outputs', () => {
  it('that a script emits go to every route of theirs', async () => {
    const both =
      'a: { from: { output: alarms }, to: { topic: a } }\nb: { from: { output: alarms }, to: { cloud: event } }';
    routes.apply([module('m', both)]);
    await until(() => routes.view().length === 2);
    await systemClock.sleep(10);
    routes.emitted('m', 'alarms', text({ level: 5 }));
    await until(() => given['m.a'] !== undefined && given['m.b'] !== undefined);
  });

  it('wait in their queue while the target is away, the oldest going first', async () => {
    sends = () => ({ kind: 'later', message: 'the broker is away' });
    routes.apply([module('m', 'a: { from: { output: alarms }, to: { topic: a }, queue: { size: 2 } }')]);
    await until(() => routes.view().length === 1);
    await systemClock.sleep(10);
    for (let at = 0; at < 6; at++) routes.emitted('m', 'alarms', text(at));
    await until(() => routes.view()[0]?.problem === 'the broker is away');
    expect(lossOf('m.a')['full']).toBeGreaterThanOrEqual(3);
    sends = () => sent;
    await until(() => given['m.a']?.at(-1) === '5');
    expect(given['m.a']?.slice(-2)).toEqual(['4', '5']);
  });

  it('are counted where they were lost before they came', async () => {
    routes.apply([module('m', 'a: { from: { output: alarms }, to: { topic: a } }')]);
    await until(() => routes.view().length === 1);
    await systemClock.sleep(10);
    routes.lostBefore('m', 'alarms', 'too-large', 3);
    expect(lossOf('m.a')).toEqual({ 'too-large': 3 });
    expect(routes.takeMetrics()).toEqual({ m: { a: { in: 3, out: 0, dropped: { 'too-large': 3 } } } });
    expect(routes.takeMetrics()).toEqual({});
  });
});

describe('what is posted', () => {
  it('is queued while there is room', async () => {
    answer = (_request, response) => flat({ message: 'later' }, response, 503);
    routes.apply([
      module('m', 'in: { from: { http: readings }, to: { input: amlInput }, queue: { size: 2, maxBytes: 1024 } }'),
    ]);
    await opened('m.in');
    expect(routes.post('m', 'readings', Buffer.from('1'))).toBe('taken');
    await until(() => asked.length > 0);
    expect(['2', '3', '4'].map((body) => routes.post('m', 'readings', Buffer.from(body)))).toEqual([
      'taken',
      'taken',
      'full',
    ]);
    expect(routes.post('m', 'readings', Buffer.alloc(2000))).toBe('too-large');
    expect(routes.post('m', 'other', Buffer.from('1'))).toBe('unknown');
    expect(lossOf('m.in')).toEqual({ full: 1, 'too-large': 1 });
  });
});
