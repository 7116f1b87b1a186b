/**
 * Memory of large bodies, used again: to make it anew for each request, zeroed, and to collect it costs as
 * much as to receive it. Invariants: holds `maxBytes` at most, and nothing once it was idle for `idleMs`;
 * what it gives was let go by everyone else, since only transferred buffers come back.
 */
export interface BufferPoolOptions {
  readonly maxBytes: number;
  readonly idleMs: number;
}

/** Smaller ones are cheaper made than kept. */
export const minPooledBytes = 64 * 1024;

/** A buffer may be larger than what is asked for by this share. */
const slack = 0.25;

export class BufferPool {
  private readonly free: ArrayBuffer[] = [];
  private heldBytes = 0;
  private idle: NodeJS.Timeout | undefined;

  constructor(private readonly options: BufferPoolOptions) {}

  /** At least so many bytes, whose content is whatever it was: the taker writes before anyone reads. */
  take(bytes: number): ArrayBuffer {
    if (bytes < minPooledBytes) return new ArrayBuffer(bytes);
    // The last one in is the likeliest to be in the processor's cache.
    for (let index = this.free.length - 1; index >= 0; index--) {
      const buffer = this.free[index];
      if (!buffer || buffer.byteLength < bytes || buffer.byteLength > bytes * (1 + slack)) continue;
      this.free.splice(index, 1);
      this.heldBytes -= buffer.byteLength;
      return buffer;
    }
    return new ArrayBuffer(bytes);
  }

  /** A buffer that nobody else refers to any more. */
  give(buffer: ArrayBuffer): void {
    const { byteLength } = buffer;
    if (byteLength < minPooledBytes || byteLength > this.options.maxBytes) return;
    this.free.push(buffer);
    this.heldBytes += byteLength;
    while (this.heldBytes > this.options.maxBytes) this.heldBytes -= this.free.shift()?.byteLength ?? 0;
    if (this.idle === undefined) {
      this.idle = setTimeout(() => this.empty(), this.options.idleMs);
      this.idle.unref();
    } else this.idle.refresh();
  }

  get bytes(): number {
    return this.heldBytes;
  }

  empty(): void {
    clearTimeout(this.idle);
    this.idle = undefined;
    this.free.length = 0;
    this.heldBytes = 0;
  }
}
