import { describe, expect, it } from 'vitest';
import { maxUnacknowledgedBytes } from '#shared/protocol/blocks.js';
import { TokenBuckets } from '#cloud/gateway/token-bucket.js';
import { BlockCredit } from '#cloud/mqtt/block-credit.js';
import { hashPassword, PasswordVerifier, verifyPassword } from '#cloud/mqtt/broker-password.js';
import { aclFile, passwordFile } from '#cloud/mqtt/mosquitto-files.js';
import { Semaphore } from '#cloud/mqtt/semaphore.js';

const kib256 = 256 * 1024;

describe('BlockCredit', () => {
  it('gives out 4 MiB and no byte more until something is acknowledged', () => {
    const credit = new BlockCredit();
    credit.note(1, 0);
    for (let sent = 0; sent < maxUnacknowledgedBytes; sent += kib256) expect(credit.take(kib256)).toBe(true);
    expect(credit.take(1)).toBe(false);
    credit.note(1, kib256);
    expect(credit.take(kib256)).toBe(true);
    expect(credit.take(1)).toBe(false);
  });

  it('takes an acknowledgement of more than was sent as all of it', () => {
    const credit = new BlockCredit();
    credit.note(1, 0);
    credit.take(kib256);
    credit.note(1, Number.MAX_SAFE_INTEGER);
    for (let sent = 0; sent < maxUnacknowledgedBytes; sent += kib256) expect(credit.take(kib256)).toBe(true);
    expect(credit.take(1)).toBe(false);
  });

  it('never lets an older acknowledgement take credit back, and starts anew with a session', () => {
    const credit = new BlockCredit();
    credit.note(1, 0);
    for (let sent = 0; sent < maxUnacknowledgedBytes; sent += kib256) credit.take(kib256);
    credit.note(1, kib256);
    credit.note(1, 0);
    expect(credit.take(kib256)).toBe(true);
    credit.note(2, 0);
    expect(credit.take(maxUnacknowledgedBytes)).toBe(true);
  });
});

describe('TokenBuckets', () => {
  const limits = { burst: 2, perSecond: 1, maxAddresses: 2 };

  it('lets a burst through, then says how long to wait', () => {
    const buckets = new TokenBuckets(limits);
    expect([buckets.take('a', 0), buckets.take('a', 0)]).toEqual([0, 0]);
    expect(buckets.take('a', 0)).toBe(1000);
    expect(buckets.take('a', 500)).toBe(500);
    expect(buckets.take('a', 1000)).toBe(0);
  });

  it('counts each address for itself, and remembers no more addresses than it may', () => {
    const buckets = new TokenBuckets(limits);
    buckets.take('a', 0);
    buckets.take('a', 0);
    expect(buckets.take('b', 0)).toBe(0);
    expect(buckets.take('c', 0)).toBe(0);
    expect(buckets.take('a', 0)).toBe(0);
  });
});

describe('passwords on the broker', () => {
  it('verifies what was hashed and nothing else', async () => {
    const stored = await hashPassword('right');
    expect(stored).toMatch(/^\$7\$101\$[A-Za-z0-9+/]{16}\$[A-Za-z0-9+/]{86}==$/);
    expect(await verifyPassword('right', stored)).toBe(true);
    expect(await verifyPassword('wrong', stored)).toBe(false);
    expect(await hashPassword('right')).not.toBe(stored);
  });

  it.each(['', 'plain', '$6$101$aa$bb', '$7$0$aaaa$bbbb', '$7$99999999$aaaa$bbbb'])(
    'takes %j for no hash',
    async (stored) => {
      expect(await verifyPassword('x', stored)).toBe(false);
    },
  );

  it('remembers a right password only together with its hash', async () => {
    const verifier = new PasswordVerifier(1);
    const first = await hashPassword('one');
    const second = await hashPassword('two');
    expect(await verifier.verify('one', first)).toBe(true);
    expect(await verifier.verify('one', first)).toBe(true);
    expect(await verifier.verify('one', second)).toBe(false);
    expect(await verifier.verify('two', first)).toBe(false);
    expect(await verifier.verify('two', second)).toBe(true);
  });
});

describe('files for Mosquitto', () => {
  it('lists users with their hashes, one a line', () => {
    const text = passwordFile({ cloudUser: 'cloud', cloudHash: '$7$c', adminHash: '$7$a' }, [
      { workspace: 'w', device: 'd', secretHash: '$7$d' },
    ]);
    expect(text).toBe('cloud:$7$c\nadmin:$7$a\nw/d:$7$d\n');
  });

  it('lets devices write what devices send and read what the cloud sends, and the cloud the reverse', () => {
    const lines = aclFile('cloud').split('\n');
    expect(lines).toContain('pattern write flotilla/v1/%u/reported');
    expect(lines).toContain('pattern read flotilla/v1/%u/desired');
    expect(lines).toContain('pattern read flotilla/v1/%u/commands/+/request');
    expect(lines).toContain('topic write flotilla/v1/+/+/desired');
    expect(lines).toContain('topic read flotilla/v1/+/+/commands/+/response');
    expect(lines.filter((line) => /readwrite|pattern write .*desired$/.test(line))).toEqual([]);
  });
});

describe('Semaphore', () => {
  it('holds back those beyond its number, first come first served', async () => {
    const semaphore = new Semaphore(1);
    const order: number[] = [];
    await semaphore.acquire();
    const waiting = [1, 2].map((n) => semaphore.acquire().then(() => order.push(n)));
    await new Promise((resolve) => setImmediate(resolve));
    expect(order).toEqual([]);
    semaphore.release();
    await waiting[0];
    expect(order).toEqual([1]);
    semaphore.release();
    await waiting[1];
    expect(order).toEqual([1, 2]);
  });
});
