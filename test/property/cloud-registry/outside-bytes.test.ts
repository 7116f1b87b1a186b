import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { loadConfig } from '#cloud/config.js';
import { readRangeHeader } from '#cloud/http/byte-range.js';
import { findJsonFault } from '#cloud/http/json-fault.js';
import { parseJsonBody } from '#cloud/http/plugins/json-bodies.js';
import { tagQuery } from '#cloud/http/tag-query.js';
import { readStatement } from '#cloud/registry/image-statement.js';
import { decodeCursor, encodeCursor } from '#cloud/store/page.js';

/** JSON, cut, doubled or with bytes changed: mostly almost JSON. */
const nearlyJson = fc
  .tuple(fc.json(), fc.nat(), fc.constantFrom('', ',', '"', '{', ']', '\\', 'e', '-', '\u0001', ' '))
  .map(([text, at, put]) => {
    const place = at % (text.length + 1);
    return text.slice(0, place) + put + text.slice(place + (at % 3));
  });

const parses = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

describe('the place where a text stops being JSON', () => {
  it('is found for exactly the texts that JSON.parse refuses', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), nearlyJson, fc.string()), (text) => {
        expect(findJsonFault(text) === undefined).toBe(parses(text));
      }),
      { numRuns: 3000 },
    );
  });

  it('lies within the text, and what is before it could go on to be JSON', () => {
    fc.assert(
      fc.property(nearlyJson, (text) => {
        const fault = findJsonFault(text);
        if (!fault) return;
        const lines = text.split('\n');
        expect(fault.line).toBeLessThanOrEqual(lines.length);
        expect(fault.column).toBeLessThanOrEqual((lines[fault.line - 1] ?? '').length + 1);
      }),
    );
  });
});

describe('outside input', () => {
  it('as a JSON body gives a value or an AppError, and never touches a prototype', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          nearlyJson.map((text) => Buffer.from(text)),
          fc.uint8Array().map((bytes) => Buffer.from(bytes)),
        ),
        (body) => {
          try {
            parseJsonBody(body);
          } catch (error) {
            expect(error).toBeInstanceOf(AppError);
          }
          expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
        },
      ),
    );
  });

  it('as a Range header gives a range inside the blob or none', () => {
    const header = fc.oneof(
      fc.string(),
      fc.tuple(fc.nat(), fc.nat()).map(([a, b]) => `bytes=${String(a)}-${String(b)}`),
      fc.nat().map((n) => `bytes=-${String(n)}`),
    );
    fc.assert(
      fc.property(header, fc.nat(1000), (text, size) => {
        const answer = readRangeHeader(text, size);
        if (answer.kind !== 'part') return;
        expect(answer.range.start).toBeGreaterThanOrEqual(0);
        expect(answer.range.end).toBeGreaterThanOrEqual(answer.range.start);
        expect(answer.range.end).toBeLessThan(size);
      }),
    );
  });

  it('as a cursor gives the key that was encoded, or an AppError', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.integer(), (at, name, version) => {
        expect(decodeCursor(encodeCursor([at, name, version]), ['string', 'string', 'number'])).toEqual([
          at,
          name,
          version,
        ]);
      }),
    );
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          expect(decodeCursor(text, ['string', 'number'])).toHaveLength(2);
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
        }
      }),
    );
  });

  it('as a tag query never yields a name that could leave its quotes', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((text) => `a${text}`),
        ),
        (text) => {
          const parsed = tagQuery.safeParse(text);
          if (parsed.success) for (const { name } of parsed.data) expect(name).not.toMatch(/["\\$[\]]/);
        },
      ),
    );
  });

  it('as an envelope gives a statement or an AppError', () => {
    const envelope = fc.record({
      payloadType: fc.constantFrom('application/vnd.flotilla.image.v1+json', 'x'),
      payload: fc.oneof(fc.json(), fc.string()).map((text) => Buffer.from(text).toString('base64')),
      signatures: fc.array(fc.record({ keyid: fc.string(), sig: fc.base64String() }), { minLength: 1 }),
    });
    fc.assert(
      fc.property(envelope, (given) => {
        expect(() => readStatement(given, `sha256:${'0'.repeat(64)}`)).toThrow(AppError);
      }),
    );
  });

  it('as a configuration file gives a configuration or an AppError', () => {
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      fc.object().map((value) => JSON.stringify({ http: value })),
    );
    fc.assert(
      fc.property(text, (file) => {
        try {
          loadConfig({ flags: {}, environment: {}, file: { path: 'f.yaml', text: file } });
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
        }
      }),
    );
  });
});
