import { createServer, type Server } from 'node:http';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { ConnectionDrain } from '#shared/scoring/connection-drain.js';
import { defaultPace } from '#shared/scoring/body-pace.js';
import { refuseUnreadable } from '#shared/scoring/host/unreadable-request.js';
import type { Caller } from '#cloud/services/front/caller.js';
import { readByNode } from '#cloud/services/front/node-intake.js';
import { readPlainHead } from '#cloud/services/front/plain-head.js';
import { readPlain } from '#cloud/services/front/plain-intake.js';
import { inject } from '#test/support/injected-connection.js';
import { readResponses } from '#test/support/raw-http.js';

/** A request as whoever handles it sees it. */
type Seen = readonly [method: string, url: string, headers: string, body: string];

/** The same server twice: with plain requests read by us, and with all of them read by Node. */
class Reader {
  seen: Seen[] = [];
  plain = 0;
  private readonly server: Server;
  private readonly stop: () => void;

  constructor(byUs: boolean) {
    this.server = createServer({ insecureHTTPParser: false, requireHostHeader: true, maxHeaderSize: 15 * 1024 });
    this.server.on('clientError', refuseUnreadable);
    readByNode(this.server, (caller) => this.handle(caller));
    const times = { keepAliveSeconds: 75, restMs: 80_000, awaitMs: 10_000 };
    const answer = (caller: Caller): void => {
      this.plain += 1;
      this.handle(caller);
    };
    this.stop = byUs ? readPlain(this.server, times, new ConnectionDrain(this.server), answer) : () => undefined;
  }

  /** @returns what was answered */
  async read(pieces: readonly Buffer[]): Promise<Buffer> {
    this.seen = [];
    return inject(this.server, pieces);
  }

  end(): void {
    this.stop();
  }

  private handle(caller: Caller): void {
    const { method, url, rawHeaders } = caller;
    caller.goAhead();
    caller.readStart(
      defaultPace,
      ({ bytes }) => {
        this.seen.push([method, url, JSON.stringify(rawHeaders), bytes.toString('latin1')]);
        caller.begin(200, ['content-length', String(url.length)], false);
        caller.end(Buffer.from(url));
      },
      () => undefined,
    );
  }
}

const [ours, nodes] = [new Reader(true), new Reader(false)];
afterAll(() => ours.end());

/**
 * Node drops a request that is whole, but not yet handled, where what follows in the same piece cannot be read; we answer it.
 * So ours are at least those that Node sees in the same pieces, and at most those that it sees byte by byte.
 */
async function readAll(pieces: readonly Buffer[]): Promise<void> {
  await ours.read(pieces);
  await nodes.read(pieces);
  const inPieces = nodes.seen;
  await nodes.read(Array.from(Buffer.concat(pieces), (byte) => Buffer.of(byte)));
  expect(ours.seen).toEqual(nodes.seen.slice(0, ours.seen.length));
  expect(inPieces).toEqual(ours.seen.slice(0, inPieces.length));
}

function statusesAndBodies(answers: Buffer): readonly string[] {
  return readResponses(answers).map(({ status, body }) => `${String(status)} ${body.toString()}`);
}

function cut(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const edges = [0, ...cuts.map((each) => each % (bytes.length + 1)), bytes.length].toSorted((a, b) => a - b);
  return edges.slice(1).map((edge, index) => bytes.subarray(edges[index] ?? 0, edge));
}

const name = fc.oneof(
  fc.constantFrom('Accept', 'x-own', 'Content-Type', 'X-Request-Id'),
  fc.stringMatching(/^[A-Za-z0-9-]{1,9}$/),
);
const value = fc.stringMatching(/^[!-~]([ -~]{0,12}[!-~])?$/);
const plainFields = fc.uniqueArray(fc.tuple(name, value), { maxLength: 4, selector: ([each]) => each.toLowerCase() });
const target = fc.stringMatching(/^\/[A-Za-z0-9._~:@!$&'()*+,;=/?%-]{0,12}$/);
const content = fc.stringMatching(/^[ -~\r\n]{0,30}$/);

/** Where one of its lines begins. */
function lineAt(text: string, which: number): number {
  const lines = [...text.matchAll(/\r\n/g)].map(({ index }) => index + 2);
  return lines[which % lines.length] ?? 0;
}

/** Any request of the small grammar. */
const plainRequest = fc.tuple(target, plainFields, fc.option(content)).map(([url, fields, body]) => {
  const lines = fields.map(([field, said]) => `${field}: ${said}\r\n`).join('');
  return body === null
    ? `GET ${url} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`
    : `POST ${url} HTTP/1.1\r\nhost: a:1\r\n${lines}Content-Length: ${String(body.length)}\r\n\r\n${body}`;
});

/** What makes one request look like another to somebody. */
const poison = fc.constantFrom(
  ...[
    '\r\n',
    '\n',
    '\r',
    '\0',
    ' ',
    '\t',
    ':',
    '\r\n\r\n',
    '\xff',
    '\x7f',
    ',',
    '+',
    '0',
    '\r\n ',
    '\r\n\t',
    ' HTTP/1.1',
  ],
  ...['Content-Length: 5\r\n', 'content-length:5\r\n', 'Content-Length : 5\r\n', 'Content-Length: 0x5\r\n'],
  ...['Content-Length: 5, 5\r\n', 'Content-Length: 05\r\n', 'Content-Length: \r\n', 'Content_Length: 5\r\n'],
  ...[
    'Transfer-Encoding: chunked\r\n',
    'transfer-encoding:\tchunked\r\n',
    'Transfer-Encoding: x\r\n',
    'TE: trailers\r\n',
  ],
  ...[
    'Connection: close\r\n',
    'Connection: Upgrade\r\nUpgrade: x\r\n',
    'Connection: x, close\r\n',
    'Keep-Alive: 1\r\n',
  ],
  ...[
    'Host: b\r\n',
    'Expect: 100-continue\r\n',
    'HTTP/1.0',
    'HTTP/2.0',
    'PRI * HTTP/2.0\r\n\r\n',
    'http://b/',
    'HEAD',
    'get',
  ],
  ...['GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n', '0\r\n\r\n', '5\r\nabcde\r\n0\r\n\r\n'],
);

describe('a connection whose plain requests we read', () => {
  it('is read as Node reads it, whatever of it is plain, however it is cut and changed', async () => {
    const change = fc.tuple(fc.boolean(), fc.nat(400), fc.nat(3), poison);
    const requests = fc.array(plainRequest, { minLength: 1, maxLength: 3 });
    const cuts = fc.array(fc.nat(500), { maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(requests, fc.array(change, { maxLength: 3 }), cuts, async (texts, changes, at) => {
        let text = texts.join('');
        for (const [atLine, where, instead, what] of changes) {
          const begin = atLine ? lineAt(text, where) : where % (text.length + 1);
          text = text.slice(0, begin) + what + text.slice(begin + (atLine ? 0 : instead));
        }
        await readAll(cut(Buffer.from(text, 'latin1'), at));
      }),
      { numRuns: 250 },
    );
  });

  it('is read by us from its first request to its last, where all are of the small grammar and come whole', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(plainRequest, { minLength: 1, maxLength: 4 }), async (texts) => {
        const pieces = texts.map((text) => Buffer.from(text, 'latin1'));
        ours.plain = 0;
        const [byUs, byNode] = [await ours.read(pieces), await nodes.read(pieces)];
        expect(statusesAndBodies(byUs)).toEqual(statusesAndBodies(byNode));
        expect(ours.seen).toEqual(nodes.seen);
        expect([ours.plain, ours.seen.length]).toEqual([texts.length, texts.length]);
      }),
      { numRuns: 30 },
    );
  });
});

describe('what is left to Node', () => {
  const post = (...lines: string[]): string => ['POST /score HTTP/1.1', 'host: a', ...lines].join('\r\n');

  it.each([
    ['a length and chunks', post('content-length: 4', 'transfer-encoding: chunked')],
    ['chunks', post('transfer-encoding: chunked')],
    ['two lengths', post('content-length: 4', 'content-length: 5')],
    ['the same length twice', post('content-length: 4', 'Content-Length: 4')],
    ['a length of two values', post('content-length: 4, 4')],
    ['a length with a sign', post('content-length: +4')],
    ['a length with a zero before it', post('content-length: 04')],
    ['a length in other digits', post('content-length: 0x4')],
    ['a length that is no number of ours', post('content-length: 99999999999999999999')],
    ['no length of a body', post()],
    ['a length where no body is usual', 'GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 0'],
    ['a space before a colon', post('content-length : 4')],
    ['no space behind one', post('content-length:4')],
    ['a tab behind one', post('content-length:\t4')],
    ['a space at the end of a value', post('content-length: 4 ')],
    ['a folded line', post('x-a: 1', ' content-length: 4')],
    ['a bare line feed', post('x-a: 1\ncontent-length: 4')],
    ['a bare carriage return', post('x-a: 1\rcontent-length: 4')],
    ['a null', post('x-a: \0', 'content-length: 4')],
    ['letters of no one alphabet', post('x-a: \xe4', 'content-length: 4')],
    ['a name with an underscore', post('content_length: 4', 'content-length: 4')],
    ['a name with other signs', post("x!#$%&'*: 1", 'content-length: 4')],
    ['a field without a name', post(': 1', 'content-length: 4')],
    ['a field without a colon', post('x-a', 'content-length: 4')],
    ['two hosts', post('host: b', 'content-length: 4')],
    ['no host', 'GET / HTTP/1.1\r\nx-a: 1'],
    ['two keys', post('authorization: a', 'authorization: b', 'content-length: 4')],
    ['two deployments', post('azureml-model-deployment: a', 'azureml-model-deployment: b', 'content-length: 4')],
    ['another protocol to go on with', post('connection: upgrade', 'upgrade: h2c', 'content-length: 4')],
    ['fields of one connection', post('connection: x-own', 'x-own: 1', 'content-length: 4')],
    ['a question before the body', post('expect: 100-continue', 'content-length: 4')],
    ['an older version', 'GET / HTTP/1.0\r\nhost: a'],
    ['two spaces', 'GET  / HTTP/1.1\r\nhost: a'],
    ['a whole address', 'GET http://b/ HTTP/1.1\r\nhost: a'],
    ['another method', 'OPTIONS / HTTP/1.1\r\nhost: a'],
    ['a method in small letters', 'get / HTTP/1.1\r\nhost: a'],
    ['an empty line first', '\r\nGET / HTTP/1.1\r\nhost: a'],
    ['more fields than anyone sends', post(...Array.from({ length: 80 }, (_each, index) => `x-${String(index)}: 1`))],
  ])('is whatever is not plain: %s', (_what, head) => {
    expect(readPlainHead(head)).toBeUndefined();
    expect(readPlainHead(post('content-length: 4'))).toMatchObject({ method: 'POST', url: '/score', length: 4 });
  });
});
