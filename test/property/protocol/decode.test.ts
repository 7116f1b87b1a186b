import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { protocolDocuments } from '#scripts/protocol-documents.js';
import { decodeJson, decodeMessage, encodeMessage, maxJsonDepth, maxMessageBytes } from '#shared/protocol/decode.js';
import { exampleOf } from '#test/support/examples.js';

const document = fc.constantFrom(...protocolDocuments);
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A real message with something done to its bytes. */
const damaged = fc
  .tuple(
    document,
    fc.array(
      fc.oneof(
        fc.record({ cut: fc.nat() }),
        fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) }),
        fc.record({ at: fc.nat(), insert: fc.uint8Array({ maxLength: 8 }) }),
      ),
      { minLength: 1, maxLength: 4 },
    ),
  )
  .map(([about, changes]) => {
    let bytes = Array.from(encodeMessage(exampleOf(about.name)));
    for (const change of changes) {
      if ('cut' in change) bytes = bytes.slice(0, change.cut % (bytes.length + 1));
      else if ('byte' in change) bytes[change.at % Math.max(1, bytes.length)] = change.byte;
      else bytes.splice(change.at % (bytes.length + 1), 0, ...change.insert);
    }
    return { about, bytes: Uint8Array.from(bytes) };
  });

describe('decoding', () => {
  it('never throws on random bytes, whatever the schema', () => {
    fc.assert(
      fc.property(document, fc.uint8Array({ maxLength: 400 }), ({ schema }, bytes) => {
        expect(decodeMessage(schema, bytes).ok).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });

  it('never throws on random JSON, and never lets a key reach a prototype', () => {
    fc.assert(
      fc.property(document, fc.json({ noUnicodeString: false }), ({ schema }, text) => {
        decodeMessage(schema, bytesOf(text));
      }),
    );
    fc.assert(
      fc.property(document, fc.constantFrom('__proto__', 'constructor', 'prototype'), ({ name, schema }, key) => {
        const text = JSON.stringify(exampleOf(name)).replace('{', `{${JSON.stringify(key)}:{"polluted":true},`);
        const decoded = decodeMessage(schema, bytesOf(text));
        expect(Reflect.get({}, 'polluted')).toBeUndefined();
        if (decoded.ok) expect(Reflect.get(decoded.value as object, 'polluted')).toBeUndefined();
      }),
    );
  });

  it('never throws on a real message with damaged bytes, and says in bounded words what is wrong', () => {
    fc.assert(
      fc.property(damaged, ({ about, bytes }) => {
        const decoded = decodeMessage(about.schema, bytes);
        if (decoded.ok) return;
        expect(decoded.error.message.length).toBeLessThan(1200);
        expect(decoded.error.message).not.toBe('');
      }),
      { numRuns: 2000 },
    );
  });

  it('refuses nesting beyond the limit before it parses, in any mixture of brackets', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('[', '{"a":'), { minLength: maxJsonDepth + 1, maxLength: 5000 }),
        fc.boolean(),
        (opens, closed) => {
          const closes = opens.map((open) => (open === '[' ? ']' : '}')).reverse();
          const decoded = decodeJson(bytesOf(`${opens.join('')}0${closed ? closes.join('') : ''}`));
          expect(decoded).toMatchObject({
            ok: false,
            error: { message: `nested deeper than ${String(maxJsonDepth)} levels` },
          });
        },
      ),
    );
  });

  it('takes nesting up to the limit, and brackets in strings for what they are', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: maxJsonDepth }),
        fc.string({ unit: fc.constantFrom('[', '{', '"', '\\', ']') }),
        (depth, text) => {
          const json = `${'['.repeat(depth - 1)}[${JSON.stringify(text.repeat(20))}]${']'.repeat(depth - 1)}`;
          expect(decodeJson(bytesOf(json)).ok).toBe(true);
        },
      ),
    );
  });

  it('gives back what was encoded', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 10 }), (value) => {
        expect(decodeJson(encodeMessage(value))).toEqual({
          ok: true,
          value: JSON.parse(JSON.stringify(value)) as unknown,
        });
      }),
    );
  });

  it('quotes no value of what it refused', () => {
    fc.assert(
      fc.property(document, fc.stringMatching(/^secret-[a-z]{12}$/), fc.nat(), ({ name, schema }, secret, place) => {
        const text = JSON.stringify({ ...(exampleOf(name) as object), workspace: { a: secret }, schema: secret });
        const at = place % text.length;
        for (const bytes of [text, text.slice(0, at), `${text.slice(0, at)}§${text.slice(at)}`, secret, `"${secret}`]) {
          const decoded = decodeMessage(schema, bytesOf(bytes));
          if (!decoded.ok) expect(decoded.error.message).not.toContain(secret);
        }
      }),
    );
  });
});

describe('the size cap', () => {
  it('comes before any look at the bytes', () => {
    class Untouchable extends Uint8Array {}
    const bytes = new Proxy(new Untouchable(maxMessageBytes + 1), {
      get(target, key) {
        if (key === 'length') return target.length;
        throw new Error(`looked at ${String(key)}`);
      },
    });
    expect(decodeJson(bytes)).toMatchObject({ ok: false, error: { code: 'message.too-large' } });
  });

  it('is exact', () => {
    const fits = bytesOf(`"${'x'.repeat(98)}"`);
    expect(decodeJson(fits, 100).ok).toBe(true);
    expect(decodeJson(fits, 99)).toMatchObject({ ok: false, error: { code: 'message.too-large' } });
  });
});

it.each([
  ['nothing', []],
  ['a lone continuation byte', [0x22, 0x80, 0x22]],
  ['a cut sequence', [0x22, 0xe2, 0x82, 0x22]],
  ['an overlong slash', [0x22, 0xc0, 0xaf, 0x22]],
  ['a surrogate half', [0x22, 0xed, 0xa0, 0x80, 0x22]],
  ['UTF-16', [0xff, 0xfe, 0x22, 0x00, 0x22, 0x00]],
])('refuses as malformed: %s', (_what, bytes) => {
  expect(decodeJson(Uint8Array.from(bytes))).toMatchObject({ ok: false, error: { code: 'message.malformed' } });
});
