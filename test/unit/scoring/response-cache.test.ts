import { describe, expect, it } from 'vitest';
import { encodeInferResponse } from '#shared/scoring/codec/infer-response.js';
import { identityOf } from '#shared/scoring/traffic/request-identity.js';
import { ResponseCache } from '#shared/scoring/traffic/response-cache.js';

const asked = { digest: 'sha256:1', name: 'm', version: 1, form: 'infer', jsonLength: undefined } as const;
const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const identity = (text: string, more: Partial<Parameters<typeof identityOf>[0]> = {}) =>
  identityOf({ ...asked, ...more }, bytes(text));

const answerTo = (id: string | undefined, binary = false) =>
  encodeInferResponse({
    modelName: 'm',
    modelVersion: '1',
    id,
    outputs: [{ tensor: { name: 'y', datatype: 'UINT8', shape: [2], data: Uint8Array.of(1, 2) }, binary }],
  });

describe('what makes two requests the same', () => {
  it('is all their bytes, what answers them and how they are read', () => {
    const body = '{"inputs":[1]}';
    const keys = [
      identity(body),
      identity('{"inputs":[2]}'),
      identity(body, { digest: 'sha256:2' }),
      identity(body, { version: 2 }),
      identity(body, { name: 'n' }),
      identity(body, { form: 'score' }),
      identity(body, { jsonLength: 10 }),
    ].map(({ key }) => key);
    expect(new Set(keys).size).toBe(keys.length);
    expect(identity(body).key).toBe(keys[0]);
  });

  it('is not the id that comes first in a V2 request', () => {
    const [a, b] = [identity('{"id":"a","inputs":[1]}'), identity('{ "id" : "bb" ,"inputs":[1]}')];
    expect([a.id, b.id]).toEqual(['a', 'bb']);
    expect(a.key).toBe(b.key);
    expect(identity('"inputs":[1]}').key).not.toBe(a.key);
    const binary = identity('{"id":"a","inputs":[1]}xyz', { jsonLength: 23 });
    expect(identity('{"id":"abc","inputs":[1]}xyz', { jsonLength: 25 }).key).toBe(binary.key);
    expect(identity('{"id":"a","inputs":[1]}xyz', { jsonLength: 22 }).key).not.toBe(binary.key);
  });

  it.each([
    ['a plain request, whose input may have that name', '{"id":"a","x":[1]}', { form: 'score' } as const],
    ['an id that is not first', '{"inputs":[1],"id":"a"}', {}],
    ['a second id', '{"id":"a","inputs":[1],"id":"b"}', {}],
    ['an escape that may spell a second one', '{"id":"a","inputs":[1],"\\u0069d":"b"}', {}],
    ['an id with escapes', '{"id":"a\\n","inputs":[1]}', {}],
    ['an id that is no text', '{"id":7,"inputs":[1]}', {}],
  ])('includes the id of %s', (_, body, more) => {
    expect(identity(body, more).id).toBeUndefined();
    expect(identity(body, more).key).not.toBe(identity(body.replaceAll('a', 'c').replaceAll('7', '8'), more).key);
  });
});

describe('a cache of answers', () => {
  it.each([false, true])('gives each request its own id back (binary: %s)', (binary) => {
    const cache = new ResponseCache(10_000);
    const [a, b] = [identity('{"id":"a","inputs":[1]}'), identity('{"id":"other","inputs":[1]}')];
    cache.put(a, answerTo('a', binary));
    expect(cache.get(a)).toEqual(answerTo('a', binary));
    expect(cache.get(b)).toEqual(answerTo('other', binary));
    expect(cache.get(identity('{"inputs":[1]}'))).toBeUndefined();
  });

  it('keeps no answer that does not begin with the id that it must echo', () => {
    const cache = new ResponseCache(10_000);
    const a = identity('{"id":"a","inputs":[1]}');
    cache.put(a, answerTo('b'));
    cache.put(a, answerTo(undefined));
    expect(cache.get(a)).toBeUndefined();
  });

  it('lets the least recently used go when its bytes are full, and takes none that is half of it', () => {
    const cache = new ResponseCache(2000);
    const [a, b, c, d] = ['1', '2', '3', '4'].map((text) => identity(`{"inputs":[${text}]}`));
    if (!a || !b || !c || !d) throw new Error('four');
    const answer = { body: new Uint8Array(400) };
    for (const one of [a, b, c]) cache.put(one, answer);
    cache.get(a);
    cache.put(d, answer);
    expect([a, b, c, d].map((one) => cache.get(one) !== undefined)).toEqual([true, false, true, true]);
    expect(cache.bytes).toBeLessThanOrEqual(2000);
    cache.put(b, { body: new Uint8Array(900) });
    expect(cache.get(b)).toBeUndefined();
  });

  it('does not change with the buffer that an answer came in', () => {
    const cache = new ResponseCache(10_000);
    const body = bytes('{"outputs":[]}');
    cache.put(identity('x'), { body });
    body.fill(0);
    expect(cache.get(identity('x'))?.body).toEqual(bytes('{"outputs":[]}'));
  });
});
