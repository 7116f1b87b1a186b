import { describe, expect, it } from 'vitest';
import { FrameGuard } from '#shared/protocol/frame-guard.js';

describe('FrameGuard', () => {
  it('stops a packet by its announced length before any of its body', () => {
    // 0x30 = PUBLISH, then 256 MiB - 1 as the largest remaining length there is.
    expect(new FrameGuard().inspect(Uint8Array.of(0x30, 0xff, 0xff, 0xff, 0x7f), 300_000)).toBe('too-large');
  });

  it('stops it at the digit that goes over, without waiting for the last one', () => {
    expect(new FrameGuard().inspect(Uint8Array.of(0x30, 0xff, 0xff, 0xff), 300_000)).toBe('too-large');
  });

  it('refuses a length of more than four digits', () => {
    expect(new FrameGuard().inspect(Uint8Array.of(0x30, 0x80, 0x80, 0x80, 0x80), 300_000)).toBe('malformed');
  });

  it('takes the limit that holds when the header is read', () => {
    const guard = new FrameGuard();
    expect(guard.inspect(Uint8Array.of(0x10, 2, 0, 0), 2)).toBe('pass');
    expect(guard.inspect(Uint8Array.of(0x30, 100), 200)).toBe('pass');
  });
});
