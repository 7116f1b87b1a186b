import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { pickByKey, pickByRandom } from '#shared/scoring/traffic/pick-version.js';
import { originOf, pinOf, routeKeyOf } from '#shared/scoring/traffic/request-origin.js';

const versions = [
  { version: 1, weight: 9 },
  { version: 2, weight: 1 },
  { version: 3, weight: 0 },
];

describe('a version picked at random', () => {
  it('is each of them as often as its weight says, and one without weight never', () => {
    const picked = Array.from({ length: 100 }, (_, index) => pickByRandom(versions, (index + 0.5) / 100));
    const count = (wanted: number): number => picked.filter((version) => version === wanted).length;
    expect([count(1), count(2), count(3)]).toEqual([90, 10, 0]);
  });

  it('is none where nothing has weight', () => {
    expect(pickByRandom([], 0.5)).toBeUndefined();
    expect(pickByRandom([{ version: 1, weight: 0 }], 0)).toBeUndefined();
  });
});

describe('a version picked by key', () => {
  const keys = Array.from({ length: 4000 }, (_, index) => `user-${String(index)}`);

  it('is spread by weight', () => {
    const share = keys.filter((key) => pickByKey(versions, key) === 2).length / keys.length;
    expect(share).toBeGreaterThan(0.08);
    expect(share).toBeLessThan(0.12);
    expect(keys.some((key) => pickByKey(versions, key) === 3)).toBe(false);
  });

  it('moves only to the version whose weight rose', () => {
    const after = [
      { version: 1, weight: 9 },
      { version: 2, weight: 3 },
    ];
    const moved = keys.filter((key) => pickByKey(versions, key) !== pickByKey(after, key));
    expect(moved.length).toBeGreaterThan(0);
    expect(moved.every((key) => pickByKey(after, key) === 2)).toBe(true);
  });
});

describe('the headers of a request', () => {
  it('pin it to a version by either name', () => {
    expect(pinOf({ 'flotilla-version': '2' })).toBe('2');
    expect(pinOf({ 'azureml-model-deployment': '2', 'flotilla-version': '2' })).toBe('2');
    expect(pinOf({ 'flotilla-version': '' })).toBeUndefined();
    expect(() => pinOf({ 'azureml-model-deployment': '1', 'flotilla-version': '2' })).toThrow(AppError);
  });

  it('or the version in its URL make it pinned; a route key does not', () => {
    expect(originOf({ id: 'a', headers: { 'flotilla-version': '2' } })).toEqual({ requestId: 'a', pinned: true });
    expect(originOf({ id: 'a', headers: {}, params: { model: 'm', version: '1' } }).pinned).toBe(true);
    const keyed = { 'flotilla-route-key': 'k' };
    expect(originOf({ id: 'a', headers: keyed, params: { model: 'm' } }).pinned).toBe(false);
    expect(routeKeyOf(keyed)).toBe('k');
  });
});
