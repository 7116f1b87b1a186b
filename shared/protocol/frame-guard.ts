/**
 * Watches the bytes of one MQTT connection go by and stops a packet by the length that its fixed
 * header announces, before anything of it is kept: the libraries on both ends would collect 256 MiB
 * for whoever asks. Holds three numbers a connection and copies nothing.
 */

/** The largest frame of blocks and a generous topic; nothing on the wire is larger. */
export const maxPacketBytes = 288 * 1024 + 1024;
/** A CONNECT with a will; nobody sends anything else before it is accepted. */
export const maxPacketBytesBeforeConnect = 8 * 1024;

export type GuardVerdict = 'pass' | 'too-large' | 'malformed';

export class FrameGuard {
  /** Body bytes of the present packet that are still to come. */
  private remaining = 0;
  private length = 0;
  /** Digits of the remaining length read so far; -1 when a packet's first byte comes next. */
  private digits = -1;
  private verdict: GuardVerdict = 'pass';
  private begun = 0;

  /** Packets of which the first byte was seen. */
  get packets(): number {
    return this.begun;
  }

  /** Once it is not `pass` it stays so: the connection has lost its framing. */
  inspect(chunk: Uint8Array, maxBytes: number): GuardVerdict {
    let at = 0;
    while (at < chunk.length && this.verdict === 'pass') {
      if (this.remaining > 0) {
        const skipped = Math.min(this.remaining, chunk.length - at);
        this.remaining -= skipped;
        at += skipped;
      } else {
        this.header(chunk[at] ?? 0, maxBytes);
        at += 1;
      }
    }
    return this.verdict;
  }

  private header(byte: number, maxBytes: number): void {
    if (this.digits < 0) {
      this.begun += 1;
      this.digits = 0;
      this.length = 0;
      return;
    }
    this.length += (byte & 0x7f) * 128 ** this.digits;
    this.digits += 1;
    if (this.length > maxBytes) this.verdict = 'too-large';
    else if (byte < 0x80) {
      this.remaining = this.length;
      this.digits = -1;
    } else if (this.digits === 4) this.verdict = 'malformed';
  }
}
