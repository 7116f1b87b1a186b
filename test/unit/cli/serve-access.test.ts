import { writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { accessOf, type AccessOptions, secretOf } from '#cloud/cli/serve-access.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const none: AccessOptions = { scoringKey: [], hostName: [], corsOrigin: [] };

describe('who may ask flotilla serve', () => {
  it('is this machine without a word, and others with a key or because somebody said so', () => {
    expect(accessOf('127.0.0.1', none, []).mode).toBe('open');
    expect(accessOf('127.0.0.1', none, ['a-key-of-mine']).mode).toBe('keys');
    expect(accessOf('0.0.0.0', none, ['a-key-of-mine'])).toMatchObject({ mode: 'keys', addresses: 'any' });
    expect(accessOf('0.0.0.0', { ...none, access: 'open' }, []).mode).toBe('open');
    expect(JSON.stringify(accessOf('0.0.0.0', none, ['a-key-of-mine']))).not.toContain('a-key-of-mine');
  });

  it.each<[string, AccessOptions, RegExp]>([
    ['0.0.0.0', none, /reachable from other machines.*--scoring-key auto.*--access open/],
    ['127.0.0.1', { ...none, access: 'keys' }, /--access keys needs one/],
    ['127.0.0.1', { ...none, hostName: ['edge:1'] }, /--host-name edge:1 is none/],
    ['127.0.0.1', { ...none, corsOrigin: ['app.example'] }, /--cors-origin app\.example.*https:\/\/app\.example/],
  ])('on %s with %j is refused, with the remedy', (address, options, said) => {
    expect(() => accessOf(address, options, [])).toThrow(said);
  });

  const path = temporaryFolder();
  it('secrets are read from a file, so that no command line shows them', async () => {
    await writeFile(path('key'), 'a-key-of-mine\n');
    expect(secretOf('--scoring-key', `@${path('key')}`)).toBe('a-key-of-mine');
    expect(() => secretOf('--scoring-key', `@${path('none')}`)).toThrow(/--scoring-key: ENOENT/);
    expect(() => secretOf('--scoring-key', 'short')).toThrow(/8 to 256/);
  });
});
