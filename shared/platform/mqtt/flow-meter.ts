/**
 * How fast one connection may send: so many messages and bytes a second, with bursts of some seconds'
 * worth. What has come is never dropped; who sent too much is not read for a while. Pure but for its own
 * numbers.
 */
export interface FlowLimits {
  readonly messagesPerSecond: number;
  readonly bytesPerSecond: number;
  /** How many seconds' worth may come at once. */
  readonly burstSeconds: number;
}

export class FlowMeter {
  private messages: number;
  private bytes: number;
  private atMs: number;

  /** @param nowMs monotonic */
  constructor(
    private readonly limits: FlowLimits,
    nowMs: number,
  ) {
    this.messages = limits.messagesPerSecond * limits.burstSeconds;
    this.bytes = limits.bytesPerSecond * limits.burstSeconds;
    this.atMs = nowMs;
  }

  /** @returns milliseconds for which nothing more is to be read; 0 when it may go on */
  take(messages: number, bytes: number, nowMs: number): number {
    const { messagesPerSecond, bytesPerSecond, burstSeconds } = this.limits;
    const seconds = Math.max(0, nowMs - this.atMs) / 1000;
    this.atMs = nowMs;
    this.messages = Math.min(messagesPerSecond * burstSeconds, this.messages + seconds * messagesPerSecond) - messages;
    this.bytes = Math.min(bytesPerSecond * burstSeconds, this.bytes + seconds * bytesPerSecond) - bytes;
    const owedSeconds = Math.max(-this.messages / messagesPerSecond, -this.bytes / bytesPerSecond, 0);
    return Math.ceil(owedSeconds * 1000);
  }
}
