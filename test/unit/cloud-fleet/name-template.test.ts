import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { faultOfTemplate, nameFrom } from '#cloud/fleet/name-template.js';
import { tagsFor } from '#cloud/fleet/tag-limits.js';
import { isName } from '#shared/kernel/names.js';

describe('a name template', () => {
  it.each(['cam', 'cam-{hardware}-{hardware}', 'Cam-{hardware}', '-{hardware}'])('"%s" is refused', (template) => {
    expect(faultOfTemplate(template)).toBeDefined();
  });

  it('makes a name, or says why not, of whatever a machine calls itself', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 128 }), (hardware) => {
        const name = nameFrom('cam-{hardware}', hardware);
        if (name.ok) expect(isName(name.value)).toBe(true);
        else expect(name.error).not.toBe('');
      }),
    );
    expect(nameFrom('cam-{hardware}', '$& SN:0A/7')).toEqual({ ok: true, value: 'cam-sn-0a-7' });
  });
});

describe('tags of a device', () => {
  it.each<[string, Record<string, string>, string[], Record<string, string>, object]>([
    ['are given', { a: '1' }, [], {}, { ok: true, value: { a: '1' } }],
    ['may be said again', { a: '1' }, [], { a: '1' }, { ok: true, value: { a: '1' } }],
    ['may not be changed, even where the name is allowed', { a: '1' }, ['a'], { a: '2' }, { ok: false }],
    ['may be added where the name is allowed', { a: '1' }, ['b'], { b: '2' }, { ok: true, value: { a: '1', b: '2' } }],
    ['may be added where any is', {}, ['*'], { b: '2' }, { ok: true, value: { b: '2' } }],
    ['may not be added otherwise', {}, ['b'], { c: '2' }, { ok: false }],
    ['may not be one of every object', {}, [], { constructor: 'x' }, { ok: false }],
  ])('%s', (_what, tags, allowTags, claimed, expected) => {
    expect(tagsFor({ tags, allowTags }, claimed)).toMatchObject(expected);
  });
});
