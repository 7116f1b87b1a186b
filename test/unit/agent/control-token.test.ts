import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { readControlToken } from '#agent/store/control-token.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

describe('the control token of a device', () => {
  const path = temporaryFolder();

  it('is made where there is none, for its owner alone', async () => {
    const token = await readControlToken(path('fresh'));
    expect(token).toMatch(/^[\w-]{43}$/);
    expect(await readFile(path('fresh'), 'utf8')).toBe(`${token}\n`);
    expect((await stat(path('fresh'))).mode & 0o777).toBe(0o600);
  });

  it('stays over starts, and is closed again where it was opened to others', async () => {
    const token = await readControlToken(path('kept'));
    await chmod(path('kept'), 0o644);
    expect(await readControlToken(path('kept'))).toBe(token);
    expect((await stat(path('kept'))).mode & 0o777).toBe(0o600);
  });

  it.each(['', 'short', `${'x'.repeat(43)}\r\nSet-Cookie: a`])('that is %j in its file is made anew', async (text) => {
    await writeFile(path('damaged'), text);
    expect(await readControlToken(path('damaged'))).not.toBe(text);
    expect((await readFile(path('damaged'), 'utf8')).trim()).toMatch(/^[\w-]{43}$/);
  });
});
