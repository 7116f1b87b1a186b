import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { redactSecrets } from '#shared/kernel/redact-secrets.js';
import { LogBudget } from '#shared/supervisor/log-budget.js';
import { residentIn } from '#shared/supervisor/resource-watch.js';
import { locateGroups, readCounters, readProcesses } from '#shared/supervisor/sandbox/cgroup-files.js';

const mountLike = fc
  .array(
    fc.oneof(
      fc.string(),
      fc.constantFrom(
        '30 20 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup rw',
        ' - cgroup cgroup rw,memory',
        '/a',
        '..',
        '0:',
      ),
    ),
    { maxLength: 12 },
  )
  .map((lines) => lines.join('\n'));

describe('what the kernel says of control groups and processes', () => {
  it('is read, whatever it is, into folders, counts and ids or nothing', () => {
    fc.assert(
      fc.property(mountLike, fc.oneof(fc.string(), mountLike), (mounts, text) => {
        const { legacy, unified } = locateGroups(mounts, text);
        for (const place of [...Object.values(legacy), ...(unified === undefined ? [] : [unified])])
          expect(place.folder).not.toMatch(/(^|\/)\.\.(\/|$)/);
        for (const count of Object.values(readCounters(text))) expect(Number.isSafeInteger(count)).toBe(true);
        for (const id of readProcesses(text)) expect(id).toBeGreaterThan(0);
        expect(Number.isSafeInteger(residentIn(text))).toBe(true);
      }),
    );
  });

  it('never makes an id that means several processes: 0, -1 or a group', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('0', '-1', '-42', '1e3', ' 7', '7 ', '42', '007')), (lines) => {
        expect(readProcesses(lines.join('\n'))).toEqual(lines.filter((line) => line === '42').map(Number));
      }),
    );
  });
});

describe('the budget of a log', () => {
  it('keeps no more than its rate and burst allow, and counts every line of the rest', () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 1, max: 400 })), {
      maxLength: 300,
    });
    fc.assert(
      fc.property(steps, (lines) => {
        const budget = new LogBudget({ linesPerSecond: 10, bytesPerSecond: 1000, burstSeconds: 2 }, 0);
        let [now, kept, keptBytes, dropped] = [0, 0, 0, 0];
        for (const [pause, bytes] of lines) {
          now += pause;
          if (!budget.take(bytes, now)) continue;
          kept += 1;
          keptBytes += bytes;
          dropped += budget.takeDropped()?.lines ?? 0;
        }
        dropped += budget.takeDropped()?.lines ?? 0;
        expect(kept + dropped).toBe(lines.length);
        expect(kept).toBeLessThanOrEqual(20 + now / 100);
        expect(keptBytes).toBeLessThanOrEqual(2000 + now);
      }),
    );
  });
});

describe('redactSecrets', () => {
  it('ends soon on any line, and leaves no value of a name that means a secret', () => {
    const value = fc.stringMatching(/^[A-Za-z0-9+/._-]{6,40}$/);
    const name = fc.constantFrom(
      'password',
      'API_KEY',
      'authorization',
      'secret',
      'accessToken',
      '"token"',
      'private-key',
    );
    fc.assert(
      fc.property(
        fc.string(),
        name,
        fc.constantFrom('=', ': ', ' = ', ': Bearer '),
        value,
        (before, key, by, secret) => {
          expect(redactSecrets(`${before} ${key}${by}${secret}`)).not.toContain(`${by}${secret}`);
        },
      ),
    );
    for (const unit of ['a', ' ', '"', 'password', 'bearer ', 'eyJa.', '=:'])
      expect(redactSecrets(unit.repeat(8192 / unit.length)).length).toBeLessThan(20_000);
  });

  it.each([
    ['connecting to mqtts://cam:s3cret@broker/x', 'connecting to mqtts://cam:[redacted]@broker/x'],
    ['-----BEGIN EC PRIVATE KEY-----MHcCAQ', '[redacted]'],
    ['GET /x 200 in 3 ms, 17 rows', 'GET /x 200 in 3 ms, 17 rows'],
  ])('%s', (line, safe) => {
    expect(redactSecrets(line)).toBe(safe);
  });
});
