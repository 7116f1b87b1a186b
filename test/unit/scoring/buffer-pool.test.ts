import { describe, expect, it } from 'vitest';
import { BufferPool } from '#shared/scoring/buffer-pool.js';

const KiB = 1024;
const pool = (): BufferPool => new BufferPool({ maxBytes: 1024 * KiB, idleMs: 60_000 });

describe('memory of large bodies', () => {
  it('is used again for one of about the same size', () => {
    const buffers = pool();
    const buffer = new ArrayBuffer(200 * KiB);
    buffers.give(buffer);
    expect(buffers.take(180 * KiB)).toBe(buffer);
    expect(buffers.take(180 * KiB)).not.toBe(buffer);
    expect(buffers.bytes).toBe(0);
  });

  it('is made anew where what is there is too small, or far too large', () => {
    const buffers = pool();
    buffers.give(new ArrayBuffer(200 * KiB));
    expect(buffers.take(201 * KiB).byteLength).toBe(201 * KiB);
    expect(buffers.take(100 * KiB).byteLength).toBe(100 * KiB);
    expect(buffers.bytes).toBe(200 * KiB);
  });

  it('is never held beyond the limit: the oldest goes', () => {
    const buffers = pool();
    const sizes = [400, 300, 500, 200].map((size) => size * KiB);
    for (const size of sizes) buffers.give(new ArrayBuffer(size));
    expect(buffers.bytes).toBe(1000 * KiB);
    expect(buffers.take(400 * KiB).byteLength).toBe(500 * KiB);
  });

  it('is not kept where it is small, or larger than the limit', () => {
    const buffers = pool();
    buffers.give(new ArrayBuffer(KiB));
    buffers.give(new ArrayBuffer(2048 * KiB));
    expect(buffers.bytes).toBe(0);
  });

  it('is let go when nothing comes for a while', async () => {
    const buffers = new BufferPool({ maxBytes: 1024 * KiB, idleMs: 1 });
    buffers.give(new ArrayBuffer(200 * KiB));
    while (buffers.bytes > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  });
});
