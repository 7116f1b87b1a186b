import { connect, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { FrontReplica } from '#cloud/services/front/front-table.js';
import { deployment, echo, FrontWorld, frontKey } from '#test/support/front-world.js';
import { readResponses, sendRaw } from '#test/support/raw-http.js';

let world: FrontWorld;
let recording: FrontReplica;
/** What the replica was asked: targets and bodies. */
let asked: string[] = [];
beforeAll(async () => {
  world = await FrontWorld.open({ pace: { graceMs: 150, bytesPerSecond: 1_000_000 } });
  recording = await world.replica((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')));
    request.on('end', () => {
      asked.push(`${request.url ?? ''} ${body}`);
      response.end('ok');
    });
    request.on('error', () => asked.push(`${request.url ?? ''} aborted`));
  });
});
afterAll(() => world.end());
beforeEach(() => {
  asked = [];
  world.apply([deployment('blue', [recording])]);
});

const key = `authorization: Bearer ${frontKey}`;

async function raw(...parts: string[]): Promise<readonly { readonly status: number; readonly body: string }[]> {
  const chunks = parts.map((part) => Buffer.from(part, 'latin1'));
  const { received, closed } = await sendRaw(world.address.port, { chunks, pauseMs: 20 }, 5000);
  expect(closed, 'the connection hangs').toBe(true);
  return readResponses(received).map(({ status, body }) => ({ status, body: body.toString() }));
}

/** The status of the first answer to a client that stays, and says no more. */
function statusOf(part: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const socket = connect(world.address.port, '127.0.0.1');
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (!received.includes('}')) return;
      socket.destroy();
      resolve(readResponses(received)[0]?.status);
    });
    socket.write(Buffer.from(part, 'latin1'));
  });
}

function post(lines: readonly string[], body = '', path = '/endpoints/main/fraud/score'): string {
  return [`POST ${path} HTTP/1.1`, 'host: localhost', key, ...lines, '', body].join('\r\n');
}

const smuggled = `POST /endpoints/main/fraud/score?smuggled HTTP/1.1\r\nhost: localhost\r\n${key}\r\ncontent-length: 0\r\n\r\n`;

describe('a request that two servers could read in two ways', () => {
  it.each([
    ['a length and chunks', ['content-length: 4', 'transfer-encoding: chunked'], `0\r\n\r\n${smuggled}`],
    ['two lengths', ['content-length: 4', `content-length: ${String(4 + smuggled.length)}`], `abcd${smuggled}`],
    ['a length of two values', ['content-length: 4, 4'], 'abcd'],
    ['a length with a sign', ['content-length: +4'], 'abcd'],
    ['a coding that hides chunks', ['transfer-encoding: xchunked'], `0\r\n\r\n${smuggled}`],
    ['chunks that are not last', ['transfer-encoding: chunked, identity'], `0\r\n\r\n${smuggled}`],
    ['codings twice', ['transfer-encoding: chunked', 'transfer-encoding: identity'], `0\r\n\r\n${smuggled}`],
    ['a space before the colon', ['content-length : 4', 'transfer-encoding: chunked'], `0\r\n\r\n${smuggled}`],
    ['a folded line', ['x-a: 1', ' transfer-encoding: chunked', 'content-length: 4'], 'abcd'],
    ['a folded coding', ['transfer-encoding:', ' chunked'], `0\r\n\r\n${smuggled}`],
    ['a bare line feed', ['x-a: 1\ncontent-length: 4'], `abcd${smuggled}`],
    ['a null in a value', ['x-a: a\0b', 'content-length: 4'], 'abcd'],
    ['a chunk size that is none', ['transfer-encoding: chunked'], `0x4\r\nabcd\r\n0\r\n\r\n${smuggled}`],
    ['a chunk that ends elsewhere', ['transfer-encoding: chunked'], `2\r\nabcd\r\n0\r\n\r\n${smuggled}`],
  ])('is refused: %s', async (_what, lines, body) => {
    const answers = await raw(post(lines, body));
    expect(answers[0]?.status).toBe(400);
    expect(answers.slice(1)).toEqual([]);
    expect(asked.filter((each) => !each.endsWith('aborted'))).toEqual([]);
  });

  it('is none where its parts are in order: each is answered once', async () => {
    const answers = await raw(
      post(['transfer-encoding: chunked'], `3;x=y\r\nabc\r\n0\r\nx-trailer: 1\r\n\r\n${smuggled}`),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(asked).toEqual(['/score abc', '/score?smuggled ']);
  });
});

describe('a caller who may not', () => {
  it('is told before a byte of the body is read', async () => {
    const long = ['content-length: 1000000', ''].join('\r\n');
    const head = post([long]).replace(frontKey, 'no-key');
    const expecting = post(['expect: 100-continue', long]).replace(frontKey, 'no-key');
    expect([await statusOf(head), await statusOf(expecting)]).toEqual([401, 401]);
    expect(await statusOf(post(['content-length: 900000000', '']))).toBe(413);
    expect(asked).toEqual([]);
  });

  it('reaches nothing by a path that means another', async () => {
    world.apply([deployment('blue', [recording])], { id: 'ep-2', name: 'other' });
    const paths = [
      ...['/endpoints/main/other/../fraud/score', '/endpoints/main/%2e%2e/fraud/score', '/endpoints//main/fraud/score'],
      ...['/endpoints/main/fraud/%2e%2e/score', '/endpoints/main/fraud/..%2fscore', '/endpoints/main/fraud//score'],
      ...[
        '/endpoints/main/fraud/v2/models/../../metrics',
        '/endpoints/main/fraud/v2/models/%2e%2e/index',
        '//endpoints/main/fraud/score',
      ],
      ...['/endpoints/main/fraud\\score', '/endpoints/MAIN/fraud/score', '/endpoints/main/fraud/./score', '*'],
      ...[
        'http://localhost/endpoints/main/fraud/metrics',
        '/endpoints/main/fraud/score#/v2',
        '/endpoints/main/fraud;/score',
      ],
    ];
    const statuses = await Promise.all(paths.map((path) => statusOf(post(['content-length: 0', ''], '', path))));
    expect(statuses).toEqual(paths.map(() => 404));
    expect(asked).toEqual([]);
  });
});

describe('a client that wears out', () => {
  it('is refused headers without end', async () => {
    expect((await raw(post([`x-a: ${'a'.repeat(20_000)}`, 'content-length: 0', ''])))[0]?.status).toBe(431);
  });

  it('is given up when its body comes too slowly, and holds no replica meanwhile', async () => {
    world.apply([deployment('blue', [recording], { maxConcurrentPerReplica: 1 })]);
    const slow = [0, 1, 2].map(() => statusOf(post(['content-length: 100', ''], 'a')));
    expect((await world.score('quick')).status).toBe(200);
    expect(await Promise.all(slow)).toEqual([408, 408, 408]);
    expect(asked).toEqual(['/score "quick"']);
  });
});

describe('a replica that runs anyone’s code', () => {
  /** Answers each request with these bytes. */
  async function answersWith(bytes: string): Promise<FrontReplica> {
    const socketPath = world.socketPath();
    const server = createServer((socket: Socket) => {
      socket.on('error', () => undefined);
      socket.on('data', () => socket.write(Buffer.from(bytes, 'latin1')));
    });
    await world.serve(server, socketPath);
    return { id: socketPath, address: { socketPath }, state: 'ready' };
  }

  it.each([
    ['a length and chunks', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc'],
    ['a folded line', 'HTTP/1.1 200 OK\r\nx-a: 1\r\n x-b: 2\r\ncontent-length: 0\r\n\r\n'],
    ['a bare line feed', 'HTTP/1.1 200 OK\r\nx-a: 1\nx-b: 2\r\ncontent-length: 0\r\n\r\n'],
    ['no HTTP', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n'],
    ['a head without end', `HTTP/1.1 200 OK\r\nx-a: ${'a'.repeat(70_000)}`],
  ])('fails by itself with what is no answer: %s', async (_what, bytes) => {
    world.apply([deployment('blue', [await answersWith(bytes)])]);
    const answer = await world.score();
    expect([answer.status, answer.headers.get('ms-azureml-model-error-reason')]).toEqual([
      424,
      expect.stringContaining('no HTTP'),
    ]);
  });

  it('cannot answer the next caller with what it says too much', async () => {
    const poison = 'HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison';
    const wordy = await answersWith(`HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood${poison}`);
    world.apply([deployment('blue', [wordy])]);
    const answers = [await world.score(), await world.score(), await world.score()];
    expect(answers.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(['good', 'good', 'good']);
  });

  it('is read to its end whichever way it marks it', async () => {
    const chunked = await answersWith(
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nwhol\r\n1\r\ne\r\n0\r\n\r\n',
    );
    world.apply([deployment('blue', [chunked]), deployment('green', [await world.replica(echo('green'))])]);
    const answer = await world.score();
    expect([answer.status, Buffer.from(answer.bytes).toString()]).toEqual([200, 'whole']);
    const head = await world.ask('/score', { method: 'HEAD', headers: { 'azureml-model-deployment': 'green' } });
    expect([head.status, head.bytes.length]).toEqual([200, 0]);
  });
});
