import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { formatReference } from '#shared/kernel/names.js';
import {
  parseDurationMs,
  parseDurationSeconds,
  parseImageReference,
  parseModelReference,
  parseSettings,
  parseTagChanges,
  parseTags,
} from '#cloud/cli/argument-parsers.js';

const name = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,20}$/);
const tag = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,20}$/);

/** Anything typed is read or refused as `request.invalid`; nothing else is thrown. */
function neverOtherwise(parse: (text: string) => unknown): void {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.stringMatching(/^[0-9dhms=:-]*$/)), (text) => {
      try {
        parse(text);
      } catch (error) {
        expect(error).toBeInstanceOf(AppError);
        expect(error).toMatchObject({ code: 'request.invalid' });
      }
    }),
  );
}

describe('a duration', () => {
  it('is the sum of its units', () => {
    const part = fc.integer({ min: 0, max: 999 });
    fc.assert(
      fc.property(part, part, part, part, part, (d, h, m, s, ms) => {
        const text = `${String(d)}d${String(h)}h${String(m)}m${String(s)}s${String(ms)}ms`;
        expect(parseDurationMs(text)).toBe((((d * 24 + h) * 60 + m) * 60 + s) * 1000 + ms);
      }),
    );
  });
  it.each([
    ['10m', 600_000],
    ['1h', 3_600_000],
    ['1h30m', 5_400_000],
    ['500ms', 500],
    ['2d', 172_800_000],
    ['1m500ms', 60_500],
  ])('%s', (text, ms) => {
    expect(parseDurationMs(text)).toBe(ms);
  });
  it.each(['', '10', 'm', '1.5h', '-1m', '1m1h', '1m1m', '10 m', '10M', '99999999999999999999d'])(
    'refuses %j',
    (text) => {
      expect(() => parseDurationMs(text)).toThrow(/is no duration; write for example/);
    },
  );
  it('in seconds is at least one, rounded up', () => {
    expect(parseDurationSeconds('1500ms')).toBe(2);
    expect(() => parseDurationSeconds('0s')).toThrow(/too short/);
  });
  it('never fails otherwise', () => neverOtherwise(parseDurationMs));
});

describe('tags', () => {
  it('read back what was written, values with = included', () => {
    fc.assert(
      fc.property(fc.dictionary(tag, fc.string({ maxLength: 20 })), (tags) => {
        expect(parseTags(Object.entries(tags).map(([key, value]) => `${key}=${value}`))).toEqual({ ...tags });
      }),
    );
  });
  it('are set and removed', () => {
    expect(parseTagChanges(['line=3', 'site-', 'a-b=', 'x=-'])).toEqual({ line: '3', site: null, 'a-b': '', x: '-' });
  });
  it.each([[['a']], [['=v']], [['a b=c']], [['__proto__=x']], [['a=1', 'a=2']]])('refuse %j', (texts) => {
    expect(() => parseTags(texts)).toThrow(AppError);
    expect(() => parseTagChanges(texts)).toThrow(AppError);
  });
  it('never fail otherwise', () => {
    neverOtherwise((text) => parseTags([text]));
    neverOtherwise((text) => parseTagChanges([text]));
  });
});

describe('settings', () => {
  it('are JSON', () => {
    fc.assert(
      fc.property(tag, fc.jsonValue(), (key, value) => {
        const text = JSON.stringify(value);
        expect(parseSettings([`${key}=${text}`])).toEqual({ [key]: JSON.parse(text) as unknown });
      }),
    );
  });
  it('say how a text is quoted', () => {
    expect(() => parseSettings(['label=north'])).toThrow(`a text needs quotes, for example label='"north"'`);
  });
  it('never fail otherwise', () => neverOtherwise((text) => parseSettings([text])));
});

describe('references', () => {
  it('of models read back what was written', () => {
    fc.assert(
      fc.property(name, fc.integer({ min: 1, max: 999_999_999 }), (model, version) => {
        const reference = { name: model, version };
        expect(parseModelReference(formatReference(reference))).toEqual(reference);
        expect(parseImageReference(formatReference(reference))).toBe(formatReference(reference));
      }),
    );
  });
  it('of images may be digests', () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    expect(parseImageReference(digest)).toBe(digest);
  });
  it('never fail otherwise', () => {
    neverOtherwise(parseModelReference);
    neverOtherwise(parseImageReference);
  });
});
