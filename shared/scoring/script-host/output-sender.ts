/**
 * What a script gives to outputs, on its way to the owner of the process. Invariant: so much is under way at most;
 * what a script emits beyond that, or what is larger than an output may be, is lost and told in counts.
 */
import type { FromScriptHost } from '../host-protocol.js';
import { toJson } from './script-json.js';

export interface SenderPorts {
  /** Resolves once the owner can read it, or is gone. */
  readonly send: (message: FromScriptHost) => Promise<void>;
  readonly maxValueBytes: number;
  readonly maxWaiting: number;
  readonly maxWaitingBytes: number;
}

type Loss = 'full' | 'too-large';

export const usualSending = { maxValueBytes: 8 * 1024 * 1024, maxWaiting: 1000, maxWaitingBytes: 32 * 1024 * 1024 };

export class OutputSender {
  private waiting = 0;
  private waitingBytes = 0;
  private readonly lost = new Map<string, { readonly output: string; readonly reason: Loss; count: number }>();
  private readonly idle: (() => void)[] = [];

  constructor(private readonly ports: SenderPorts) {}

  /** @throws TypeError for a value that has no form in JSON: a mistake in the script */
  emit(output: string, value: unknown, source: string | undefined): void {
    const json = !(value instanceof Uint8Array);
    // Copied: the script may go on with its bytes.
    const bytes = json ? Buffer.from(toJson(value)) : Uint8Array.from(value);
    if (bytes.length > this.ports.maxValueBytes) this.lose(output, 'too-large');
    else if (this.waiting >= this.ports.maxWaiting) this.lose(output, 'full');
    else if (this.waitingBytes + bytes.length > this.ports.maxWaitingBytes) this.lose(output, 'full');
    else this.send(bytes.length, { type: 'emit', output, bytes, json, ...(source === undefined ? {} : { source }) });
  }

  /** Everything that was emitted is the owner's. */
  async settled(): Promise<void> {
    if (this.waiting > 0) await new Promise<void>((resolve) => this.idle.push(resolve));
  }

  private lose(output: string, reason: Loss): void {
    const key = `${output} ${reason}`;
    const entry = this.lost.get(key) ?? { output, reason, count: 0 };
    entry.count += 1;
    this.lost.set(key, entry);
    if (this.waiting === 0) this.tellLost();
  }

  private tellLost(): void {
    for (const [key, { output, reason, count }] of this.lost) {
      this.lost.delete(key);
      this.send(0, { type: 'emit-lost', output, reason, count });
    }
  }

  private send(bytes: number, message: FromScriptHost): void {
    this.waiting += 1;
    this.waitingBytes += bytes;
    void this.ports.send(message).then(() => {
      this.waiting -= 1;
      this.waitingBytes -= bytes;
      if (this.waiting > 0) return;
      this.tellLost();
      if (this.waiting === 0) for (const resolve of this.idle.splice(0)) resolve();
    });
  }
}
