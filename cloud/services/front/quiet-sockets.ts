/** Connections from which nothing is due, the longest quiet first: each is closed when its time is over. No timer of its own each. */
import type { Socket } from 'node:net';

export class QuietSockets {
  private readonly since = new Map<Socket, number>();
  private readonly timer: NodeJS.Timeout;

  /** @param forMs what a connection may be quiet for; a little more is possible */
  constructor(
    private readonly forMs: number,
    private readonly monotonicMs: () => number,
  ) {
    this.timer = setInterval(() => this.look(), Math.min(1000, forMs));
    this.timer.unref();
  }

  add(socket: Socket): void {
    this.since.set(socket, this.monotonicMs());
  }

  delete(socket: Socket): void {
    this.since.delete(socket);
  }

  /** Room for others. @returns false where none is quiet */
  closeOldest(): boolean {
    const [oldest] = this.since.keys();
    oldest?.destroy();
    return oldest !== undefined;
  }

  end(): void {
    clearInterval(this.timer);
  }

  private look(): void {
    const before = this.monotonicMs() - this.forMs;
    for (const [socket, sinceMs] of this.since) {
      if (sinceMs > before) return;
      this.since.delete(socket);
      socket.destroy();
    }
  }
}
