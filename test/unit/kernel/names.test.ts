import { describe, expect, it } from 'vitest';
import { formatReference, isName, nearest, parseReference } from '#shared/kernel/names.js';

describe('a name', () => {
  it.each(['a', 'cam-1', '0', 'a'.repeat(63)])('is accepted: %s', (name) => {
    expect(isName(name)).toBe(true);
  });
  it.each(['', '-a', 'A', 'a_b', 'a/b', 'a+', '#', '..', 'a'.repeat(64), 'a\n'])('is refused: %j', (name) => {
    expect(isName(name)).toBe(false);
  });
});

describe('a reference', () => {
  it('reads name and version', () => {
    expect(parseReference('digits:12')).toEqual({ name: 'digits', version: 12 });
    expect(formatReference({ name: 'digits', version: 12 })).toBe('digits:12');
  });
  it.each(['digits', 'digits:', 'digits:0', 'digits:01', 'digits:1.5', ':1', 'Digits:1', 'a:b:1'])(
    'refuses %s',
    (text) => {
      expect(parseReference(text)).toBeUndefined();
    },
  );
});

describe('the nearest valid word', () => {
  it('is found for a slip of the finger', () => {
    expect(nearest('deivce', ['device', 'deploy', 'model'])).toBe('device');
  });
  it('is nothing when no word is near', () => {
    expect(nearest('xyzzy', ['device', 'deploy', 'model'])).toBeUndefined();
  });
});
