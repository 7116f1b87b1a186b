import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { boundLog } from '#cloud/services/host/bounded-log.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const path = temporaryFolder();

describe('a log that is too long', () => {
  it('begins anew under the hands of who writes it, and is kept once', () => {
    const log = openSync(path('host.log'), 'a');
    writeSync(log, 'a long line\n');
    boundLog(path('host.log'), log, 12);
    expect(readFileSync(path('host.log'), 'utf8')).toBe('a long line\n');
    writeSync(log, 'one more\n');
    boundLog(path('host.log'), log, 12);
    writeSync(log, 'next\n');
    closeSync(log);
    expect(readFileSync(path('host.log.1'), 'utf8')).toBe('a long line\none more\n');
    expect(readFileSync(path('host.log'), 'utf8')).toBe('next\n');
  });

  it('of somebody else is let be', () => {
    writeFileSync(path('other.log'), 'a long line\n');
    const log = openSync(path('mine.log'), 'a');
    writeSync(log, 'a long line of mine\n');
    boundLog(path('other.log'), log, 12);
    closeSync(log);
    expect(readFileSync(path('other.log'), 'utf8')).toBe('a long line\n');
  });
});
