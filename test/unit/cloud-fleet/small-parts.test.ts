import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { maxUnacknowledgedBytes } from '#shared/protocol/blocks.js';
import { TokenBuckets } from '#cloud/gateway/token-bucket.js';
import { BlockCredit } from '#cloud/mqtt/block-credit.js';
import { ConnectionCounter } from '#shared/platform/mqtt/connection-limits.js';
import { FlowMeter } from '#shared/platform/mqtt/flow-meter.js';
import { aclFile } from '#cloud/mqtt/mosquitto-config.js';
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

describe('FlowMeter', () => {
  const limits = { messagesPerSecond: 10, bytesPerSecond: 1_000, burstSeconds: 2 };

  it('lets a burst of some seconds through, then says how long what came must be paid for', () => {
    const meter = new FlowMeter(limits, 0);
    expect(meter.take(20, 100, 0)).toBe(0);
    expect(meter.take(5, 100, 0)).toBe(500);
    expect(meter.take(0, 0, 500)).toBe(0);
  });

  it('counts bytes beside messages', () => {
    const meter = new FlowMeter(limits, 0);
    expect(meter.take(1, 5_000, 0)).toBe(3_000);
    expect(meter.take(0, 0, 2_000)).toBe(1_000);
  });

  it('never lets more through than rate and burst, however it is cut into pieces and times', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(5), fc.nat(500), fc.nat(300))), (pieces) => {
        const meter = new FlowMeter(limits, 0);
        let [now, messages, bytes] = [0, 0, 0];
        for (const [count, size, gapMs] of pieces) {
          now += gapMs;
          messages += count;
          bytes += size;
          now += meter.take(count, size, now);
          expect(messages).toBeLessThanOrEqual(20 + (now / 1000) * 10 + 1e-6);
          expect(bytes).toBeLessThanOrEqual(2_000 + now + 1e-6);
        }
      }),
    );
  });
});

describe('ConnectionCounter', () => {
  const limits = { inAll: 4, perAddress: 3, strangersPerAddress: 2 };

  it('bounds strangers, an address and all together, and takes back what is closed', () => {
    const counter = new ConnectionCounter(limits);
    const [first, second] = [counter.enter('a'), counter.enter('a')];
    expect(counter.enter('a')).toBeUndefined();
    first?.accepted();
    first?.accepted();
    second?.accepted();
    const third = counter.enter('a');
    expect(third).toBeDefined();
    third?.accepted();
    expect(counter.enter('a')).toBeUndefined();
    expect(counter.enter('b')).toBeDefined();
    expect(counter.enter('c')).toBeUndefined();
    third?.closed();
    third?.closed();
    expect(counter.enter('c')).toBeDefined();
    expect(counter.enter('c')).toBeUndefined();
  });
});

describe('files for Mosquitto', () => {
  it('lets devices write what devices send and read what the cloud sends, and the cloud the reverse', () => {
    const lines = aclFile().split('\n');
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
