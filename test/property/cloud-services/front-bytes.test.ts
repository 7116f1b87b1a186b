import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AnswerParts, AnswerReader } from '#cloud/services/front/answer-reader.js';
import { readFrontPath } from '#cloud/services/front/front-path.js';
import { headForReplica } from '#cloud/services/front/request-head.js';

interface Read {
  readonly steps: readonly string[];
  readonly status: number | undefined;
  readonly fields: readonly string[];
  readonly body: string;
}

function read(pieces: readonly Buffer[]): Read {
  let status: number | undefined;
  let fields: readonly string[] = [];
  let body = '';
  const parts: AnswerParts = {
    head: (head) => {
      status = head.status;
      fields = head.fields;
    },
    data: (chunk) => (body += chunk.toString('latin1')),
  };
  const reader = new AnswerReader('POST', parts);
  const steps: string[] = [];
  for (const piece of pieces) {
    const step = reader.take(piece);
    if (step !== 'more') steps.push(step);
    if (step !== 'more') break;
  }
  return { steps, status, fields, body };
}

function cut(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const edges = [...new Set([0, ...cuts.map((each) => each % (bytes.length + 1)), bytes.length])].toSorted(
    (a, b) => a - b,
  );
  return edges.slice(1).map((edge, index) => bytes.subarray(edges[index] ?? 0, edge));
}

const latin = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const body = fc.uint8Array({ maxLength: 200 }).map(latin);
const cuts = fc.array(fc.nat(600), { maxLength: 8 });
const value = fc.stringMatching(/^[!-~]([ -~]{0,20}[!-~])?$/);

describe('a replica’s answer', () => {
  it('is the same however its bytes are cut, and what follows it is not taken for it', () => {
    fc.assert(
      fc.property(
        fc.array(body, { maxLength: 4 }),
        fc.boolean(),
        value,
        fc.boolean(),
        cuts,
        (chunks, chunked, text, more, at) => {
          const whole = chunks.join('');
          const framed = chunked
            ? `transfer-encoding: chunked\r\n\r\n${chunks
                .filter((each) => each !== '')
                .map((each) => `${each.length.toString(16)};ext\r\n${each}\r\n`)
                .join('')}0\r\nx-trailer: 1\r\n\r\n`
            : `content-length: ${String(whole.length)}\r\n\r\n${whole}`;
          const answer = `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nX-Own: ${text}\r\nKeep-Alive: timeout=5\r\n${framed}`;
          const pieces = cut(Buffer.from(answer, 'latin1'), at);
          if (more) pieces.push(Buffer.from('HTTP/1.1 200 OK\r\n\r\n'));
          const last = pieces.length - (more ? 1 : 0);
          // What comes later comes to a reader that has ended.
          const { steps, ...rest } = read(
            more ? [...pieces.slice(0, last - 1), Buffer.concat(pieces.slice(last - 1))] : pieces,
          );
          expect(rest).toEqual({ status: 201, fields: ['x-own', text], body: whole });
          expect(steps).toEqual([more ? 'extra' : 'done']);
        },
      ),
    );
  });

  it('is refused or read, whatever the bytes, and never an accident', () => {
    const pieces = fc.oneof(
      fc.constantFrom(
        'HTTP/1.1 200 OK\r\n',
        'content-length: ',
        '3',
        '\r\n',
        '\r\n\r\n',
        'transfer-encoding: chunked\r\n',
        '0\r\n\r\n',
        'a',
        ':',
        ' ',
      ),
      body,
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), cuts, (texts, at) => {
        const bytes = Buffer.from(texts.join(''), 'latin1');
        const inPieces = read(cut(bytes, at));
        const atOnce = read([bytes]);
        expect({ ...inPieces, steps: inPieces.steps[0] === 'invalid' }).toMatchObject({
          ...{ status: atOnce.status, fields: atOnce.fields, steps: atOnce.steps[0] === 'invalid' },
        });
        for (const field of atOnce.fields) expect(field).not.toMatch(/[\r\n\0]/);
      }),
    );
  });
});

describe('the target of a request', () => {
  it('is taken as it stands, or not at all, and never leads out of its endpoint', () => {
    const part = fc.constantFrom(
      '/',
      'endpoints',
      'main',
      'fraud',
      'score',
      'v2',
      'models',
      'm',
      'infer',
      '..',
      '.',
      '%2e',
      '%2f',
      '\\',
      '?',
      '#',
      'A',
    );
    const url = fc.oneof(
      fc.string(),
      fc.array(part, { maxLength: 8 }).map((parts) => `/endpoints/main/fraud/${parts.join('')}`),
    );
    fc.assert(
      fc.property(url, (text) => {
        const path = readFrontPath(text);
        if (!path) return;
        const rest = text.slice(`/endpoints/${path.workspace}/${path.endpoint}`.length);
        expect(path.target).toBe(rest.startsWith('/') ? rest : `/${rest}`);
        expect(path.target.split('?')[0]).not.toMatch(/\/\/|\/\.\.?(\/|$)|%|\\|#/);
      }),
      { numRuns: 500 },
    );
  });
});

describe('the head for a replica', () => {
  it('has one end, and none of what is ours to say', () => {
    const name = fc.oneof(
      fc.constantFrom(
        'Authorization',
        'COOKIE',
        'Content-Length',
        'transfer-encoding',
        'Host',
        'x-own',
        'connection',
        'azureml-model-deployment',
      ),
      fc.stringMatching(/^[A-Za-z0-9-]{1,12}$/),
    );
    const anyValue = fc.oneof(value, fc.constantFrom('x-own, close', 'a\r\nb: c', 'a\nb', 'chunked', '\0'));
    fc.assert(
      fc.property(fc.array(fc.tuple(name, anyValue), { maxLength: 8 }), (headers) => {
        const asked = {
          method: 'POST',
          target: '/score',
          requestId: 'r-1',
          framing: { kind: 'length', bytes: 3 },
        } as const;
        const head = headForReplica({ ...asked, rawHeaders: headers.flat() });
        if (head === undefined) {
          expect(headers.some(([, given]) => /[\r\n\0]/.test(given))).toBe(true);
          return;
        }
        expect(head.indexOf('\r\n\r\n')).toBe(head.length - 4);
        const lines = head.slice(0, -4).split('\r\n').slice(1);
        const names = lines.map((line) => line.slice(0, line.indexOf(':')));
        for (const once of ['host', 'content-length', 'x-request-id']) {
          expect(names.filter((each) => each === once)).toHaveLength(1);
        }
        for (const never of [
          'authorization',
          'cookie',
          'transfer-encoding',
          'connection',
          'azureml-model-deployment',
        ]) {
          expect(names).not.toContain(never);
        }
        const named = headers.some(([given, what]) => given.toLowerCase() === 'connection' && what.startsWith('x-own'));
        if (named) expect(names).not.toContain('x-own');
      }),
    );
  });
});
