/**
 * How many bytes a device may still be sent: at most 4 MiB that it has not acknowledged. A new session
 * starts both counts at zero. Pure but for its own numbers.
 */
import { maxUnacknowledgedBytes } from '#shared/protocol/blocks.js';

export class BlockCredit {
  private session: number | undefined;
  private sent = 0;
  private acknowledged = 0;

  /** What a request says of what has arrived; more than was sent counts as all of it. */
  note(session: number, acknowledged: number): void {
    if (session !== this.session) {
      this.session = session;
      this.sent = 0;
      this.acknowledged = 0;
    }
    this.acknowledged = Math.max(this.acknowledged, Math.min(acknowledged, this.sent));
  }

  /** False, and nothing changed, when so many more bytes would be too many. */
  take(bytes: number): boolean {
    if (this.sent - this.acknowledged + bytes > maxUnacknowledgedBytes) return false;
    this.sent += bytes;
    return true;
  }
}
