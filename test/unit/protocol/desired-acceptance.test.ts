import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeDesired } from '#shared/protocol/desired-acceptance.js';
import { type Desired, desiredSchema } from '#shared/protocol/desired.js';
import { exampleOf } from '#test/support/examples.js';

const current: Desired = desiredSchema.parse(exampleOf('desired'));
const self = { workspace: current.workspace, device: current.device };
const later = '2026-11-23T10:00:00.000Z';
const otherContent = { release: 'other' };

describe('a desired document', () => {
  it.each<[string, Desired, Desired | undefined, object]>([
    ['the first one is accepted', current, undefined, { kind: 'accept' }],
    ['a higher generation is accepted', { ...current, generation: 8, ...otherContent }, current, { kind: 'accept' }],
    [
      'a higher generation with the same content is accepted',
      { ...current, generation: 8 },
      current,
      { kind: 'accept' },
    ],
    [
      'a higher generation that was issued earlier is accepted: clocks may step, generations do not',
      { ...current, generation: 8, issuedAt: '2020-01-01T00:00:00.000Z' },
      current,
      { kind: 'accept' },
    ],
    ['the same again is ignored', { ...current }, current, { kind: 'ignore' }],
    [
      'the same, issued later, is a renewal',
      { ...current, issuedAt: later, expiresAt: later },
      current,
      { kind: 'renew' },
    ],
    [
      'the same with a later expiry alone is ignored: a renewal raises issuedAt',
      { ...current, expiresAt: '2030-01-01T00:00:00.000Z' },
      current,
      { kind: 'ignore' },
    ],
    [
      'the same, issued earlier, is ignored',
      { ...current, issuedAt: '2020-01-01T00:00:00.000Z' },
      current,
      { kind: 'ignore' },
    ],
    [
      'the same generation with other content is refused',
      { ...current, ...otherContent },
      current,
      { kind: 'refuse', code: 'desired.same-generation' },
    ],
    [
      'the same generation with other content, issued later, is refused',
      { ...current, ...otherContent, issuedAt: later },
      current,
      { kind: 'refuse', code: 'desired.same-generation' },
    ],
    [
      'an older generation is refused',
      { ...current, generation: 6 },
      current,
      { kind: 'refuse', code: 'desired.older-generation' },
    ],
    [
      'an older generation, issued later, is refused',
      { ...current, generation: 6, issuedAt: later },
      current,
      { kind: 'refuse', code: 'desired.older-generation' },
    ],
    [
      'one for another device is refused, however new',
      { ...current, device: 'cam-2', generation: 99 },
      current,
      { kind: 'refuse', code: 'desired.wrong-device' },
    ],
    [
      'one for another workspace is refused, even as the first',
      { ...current, workspace: 'other' },
      undefined,
      { kind: 'refuse', code: 'desired.wrong-device' },
    ],
  ])('%s', (_what, offered, held, expected) => {
    expect(judgeDesired(offered, held, self)).toMatchObject(expected);
  });

  it('names both sides when it refuses', () => {
    const wrong = judgeDesired({ ...current, device: 'cam-2' }, current, self);
    expect(wrong).toMatchObject({ message: 'the document is for main/cam-2, this device is main/cam-1' });
    const older = judgeDesired({ ...current, generation: 6 }, current, self);
    expect(older).toMatchObject({ message: 'generation 6 is older than the accepted 7' });
  });

  it('has the same content in whatever order its keys were written', () => {
    const image = current.modules['digits']?.image;
    const reordered = JSON.parse(
      JSON.stringify({
        modules: {
          digits: { policy: { windowSeconds: 600, maxRestarts: 20, restart: 'always' }, settings: {}, image },
        },
        prefetch: [],
        generation: 7,
        device: 'cam-1',
        workspace: 'main',
        schema: 1,
        expiresAt: later,
        issuedAt: later,
      }),
    ) as unknown;
    expect(judgeDesired(desiredSchema.parse(reordered), current, self)).toEqual({ kind: 'renew' });
  });

  it('never brings a device to a lower generation, nor to other content of the same', () => {
    const offered = fc.record({
      generation: fc.integer({ min: 1, max: 6 }),
      content: fc.constantFrom('a', 'b'),
      hour: fc.integer({ min: 0, max: 5 }),
    });
    fc.assert(
      fc.property(fc.array(offered, { maxLength: 30 }), (offers) => {
        let held: Desired | undefined;
        for (const { generation, content, hour } of offers) {
          const next: Desired = {
            ...current,
            generation,
            release: content,
            issuedAt: `2026-11-23T0${String(hour)}:00:00.000Z`,
          };
          const { kind } = judgeDesired(next, held, self);
          if (kind !== 'accept' && kind !== 'renew') continue;
          if (held !== undefined) {
            expect(next.generation).toBeGreaterThanOrEqual(held.generation);
            if (kind === 'renew') {
              expect({ ...next, issuedAt: '' }).toEqual({ ...held, issuedAt: '' });
              expect(next.issuedAt > held.issuedAt).toBe(true);
            } else expect(next.generation).toBeGreaterThan(held.generation);
          }
          held = next;
        }
      }),
    );
  });
});
