/** What waits on one route: so many items, so many bytes, and what goes when there are more. */
import type { QueuePolicy } from '#shared/protocol/route.js';

export interface QueueLimits {
  readonly size: number;
  readonly maxBytes: number;
  readonly policy: QueuePolicy;
}

export interface Sized {
  /** What it holds in memory. */
  readonly bytes: number;
}

export type Loss = 'full' | 'too-large';

/**
 * `taken`: it waits, perhaps in the place of another. `full`: it does not; with the policy `block` the source may
 * offer it again once there is room, with another policy it is lost.
 */
export type Offered = 'taken' | 'full' | 'too-large';

export class BoundedQueue<T extends Sized> {
  private items: T[] = [];
  private held = 0;
  /** Room that is kept for what has been let in and is on its way. */
  private readonly reserved = { items: 0, bytes: 0 };
  private readonly wakeTakers = new Wakes();
  private readonly wakeSources = new Wakes();

  /** @param onLost told of each item that was let go, the one that was offered included */
  constructor(
    private limits: QueueLimits,
    private readonly onLost: (item: T, why: Loss) => void,
  ) {}

  get length(): number {
    return this.items.length;
  }

  get bytes(): number {
    return this.held;
  }

  get policy(): QueuePolicy {
    return this.limits.policy;
  }

  hasRoom(bytes: number): boolean {
    const { reserved, limits } = this;
    const [items, held] = [this.items.length + reserved.items, this.held + reserved.bytes];
    return items < limits.size && held + bytes <= limits.maxBytes;
  }

  /** Keeps room for an item of that size, until {@link release}. */
  reserve(bytes: number): void {
    this.reserved.items += 1;
    this.reserved.bytes += bytes;
  }

  release(bytes: number): void {
    this.reserved.items = Math.max(0, this.reserved.items - 1);
    this.reserved.bytes = Math.max(0, this.reserved.bytes - bytes);
  }

  /** Whether it would fit into an empty one. */
  couldHold(bytes: number): boolean {
    return bytes <= this.limits.maxBytes;
  }

  /** What waits stays, within the new limits: the oldest beyond them is let go. */
  setLimits(limits: QueueLimits): void {
    this.limits = limits;
    while (this.items.length > limits.size || this.held > limits.maxBytes) this.lose('full');
    this.wakeSources.all();
  }

  offer(item: T): Offered {
    const { policy, maxBytes } = this.limits;
    if (item.bytes > maxBytes) {
      this.onLost(item, 'too-large');
      return 'too-large';
    }
    if (!this.hasRoom(item.bytes)) {
      if (policy === 'block') return 'full';
      if (policy === 'drop-newest') {
        this.onLost(item, 'full');
        return 'full';
      }
      while (!this.hasRoom(item.bytes)) this.lose('full');
    }
    this.items.push(item);
    this.held += item.bytes;
    this.wakeTakers.all();
    return 'taken';
  }

  /** For a source that cannot wait: what finds no room is lost, whatever the policy. */
  press(item: T): Offered {
    const offered = this.offer(item);
    if (offered === 'full' && this.limits.policy === 'block') this.onLost(item, 'full');
    return offered;
  }

  /** Offers it, and with the policy `block` waits for room as long as the signal lets it. */
  async put(item: T, signal: AbortSignal): Promise<Offered> {
    for (;;) {
      const offered = this.offer(item);
      if (offered !== 'full' || this.limits.policy !== 'block') return offered;
      if (!(await this.wakeSources.next(signal))) {
        this.onLost(item, 'full');
        return 'full';
      }
    }
  }

  /** @returns false when the signal came first */
  async room(bytes: number, signal: AbortSignal): Promise<boolean> {
    while (!this.hasRoom(bytes)) if (!(await this.wakeSources.next(signal))) return false;
    return !signal.aborted;
  }

  /** The oldest; undefined when the signal came first. */
  async take(signal: AbortSignal): Promise<T | undefined> {
    while (!signal.aborted) {
      const item = this.items.shift();
      if (item !== undefined) {
        this.held -= item.bytes;
        this.wakeSources.all();
        return item;
      }
      await this.wakeTakers.next(signal);
    }
    return undefined;
  }

  /** Everything that waits, which nobody takes any more. */
  drain(): T[] {
    const { items } = this;
    this.items = [];
    this.held = 0;
    this.wakeSources.all();
    return items;
  }

  private lose(why: Loss): void {
    const item = this.items.shift();
    if (item === undefined) return;
    this.held -= item.bytes;
    this.onLost(item, why);
  }
}

/** Those that wait for something to change. */
class Wakes {
  private readonly waiting = new Set<() => void>();

  all(): void {
    const woken = [...this.waiting];
    this.waiting.clear();
    for (const wake of woken) wake();
  }

  /** @returns false when the signal came first */
  next(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener('abort', stop);
        resolve(true);
      };
      const stop = (): void => {
        this.waiting.delete(wake);
        resolve(false);
      };
      this.waiting.add(wake);
      signal.addEventListener('abort', stop, { once: true });
    });
  }
}
