import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type EnrolmentToken,
  enrolmentTokenSchema,
  formatEnrolmentToken,
  parseEnrolmentToken,
} from '#shared/protocol/enrolment.js';
import { exampleOf } from '#test/support/examples.js';

const publicKey = fc.stringMatching(/^[A-Za-z0-9_-]{43}$/);
const host = fc.constantFrom(
  '192.168.7.10:7443',
  '[fe80::1]:1',
  'gateway.example',
  'münchen.example',
  '東京.example/flotilla',
);
const token: fc.Arbitrary<EnrolmentToken> = fc.record({
  url: host.map((text) => `https://${text}`),
  workspace: fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,62}$/),
  secret: fc.string({ unit: 'grapheme', minLength: 32, maxLength: 40 }).filter((text) => text.length <= 128),
  authority: fc.stringMatching(/^[0-9a-f]{64}$/),
  director: publicKey,
  publishers: fc.array(publicKey, { minLength: 1, maxLength: 8 }),
});
const example = enrolmentTokenSchema.parse(exampleOf('enrolment-token'));

describe('an enrolment token', () => {
  it('comes out as it went in, in one word that a shell leaves alone', () => {
    fc.assert(
      fc.property(token, (made) => {
        const text = formatEnrolmentToken(made);
        expect(text).toMatch(/^flotilla-enrol-1\.[A-Za-z0-9_-]+$/);
        expect(text.length).toBeLessThanOrEqual(4096);
        expect(parseEnrolmentToken(text)).toEqual({ ok: true, value: made });
      }),
    );
  });

  it('may be pasted with spaces around it and line breaks within it', () => {
    const text = formatEnrolmentToken(example);
    expect(parseEnrolmentToken(`\n  ${text.slice(0, 80)}\n${text.slice(80)} \r\n`)).toEqual({
      ok: true,
      value: example,
    });
  });

  it('cut short anywhere is refused with words', () => {
    const text = formatEnrolmentToken(example);
    fc.assert(
      fc.property(fc.nat({ max: text.length - 1 }), (length) => {
        const parsed = parseEnrolmentToken(text.slice(0, length));
        expect(parsed.ok).toBe(false);
        if (!parsed.ok) expect(parsed.error).not.toBe('');
      }),
    );
  });

  it('changed, or not a token at all, never throws', () => {
    const text = formatEnrolmentToken(example);
    const broken = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'binary' }).map((tail) => `flotilla-enrol-1.${tail}`),
      fc.base64String().map((tail) => `flotilla-enrol-1.${tail}`),
      fc.json().map((json) => `flotilla-enrol-1.${Buffer.from(json).toString('base64url')}`),
      fc
        .tuple(fc.nat({ max: text.length - 1 }), fc.string({ unit: 'binary', maxLength: 2 }))
        .map(([at, piece]) => text.slice(0, at) + piece + text.slice(at + 1)),
    );
    fc.assert(
      fc.property(broken, (candidate) => {
        const parsed = parseEnrolmentToken(candidate);
        if (parsed.ok) expect(enrolmentTokenSchema.safeParse(parsed.value).success).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it.each<[string, unknown]>([
    ['plain http', { ...example, url: 'http://192.168.7.10:7443' }],
    ['no publisher', { ...example, publishers: [] }],
    ['a field that it does not know', { ...example, more: 1 }],
    ['a short secret', { ...example, secret: 'abc' }],
  ])('with %s is refused', (_what, value) => {
    const text = `flotilla-enrol-1.${Buffer.from(JSON.stringify(value)).toString('base64url')}`;
    expect(parseEnrolmentToken(text).ok).toBe(false);
  });

  it('of another version, or too long, is refused before it is read', () => {
    expect(parseEnrolmentToken('flotilla-enrol-2.abc')).toMatchObject({ ok: false });
    expect(parseEnrolmentToken(`flotilla-enrol-1.${'A'.repeat(5000)}`)).toEqual({
      ok: false,
      error: 'longer than any enrolment token',
    });
  });

  it('that is refused does not show its secret in the message', () => {
    const text = `flotilla-enrol-1.${Buffer.from(JSON.stringify({ ...example, workspace: 'X' })).toString('base64url')}`;
    const parsed = parseEnrolmentToken(text);
    expect(parsed.ok).toBe(false);
    if (!parsed.ok) expect(parsed.error).not.toContain(example.secret);
  });
});
