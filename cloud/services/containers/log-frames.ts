/**
 * What a container wrote, as the engine sends it: frames of eight bytes (stream, three zeros, length) and content, cut
 * anywhere. Content goes through as it comes; nothing of it is held.
 */
import { AppError } from '#shared/kernel/errors.js';

export interface LogPiece {
  readonly stream: 'stdout' | 'stderr';
  readonly bytes: Uint8Array;
}

const headBytes = 8;

export class LogFrames {
  private readonly head = Buffer.alloc(headBytes);
  private inHead = 0;
  private left = 0;
  private stream: LogPiece['stream'] = 'stdout';

  /** @throws AppError `message.malformed` for bytes that are no frames; nothing more can be read then */
  push(bytes: Uint8Array): LogPiece[] {
    const pieces: LogPiece[] = [];
    let at = 0;
    while (at < bytes.length) {
      if (this.left > 0) {
        const piece = bytes.subarray(at, at + this.left);
        pieces.push({ stream: this.stream, bytes: piece });
        this.left -= piece.length;
        at += piece.length;
        continue;
      }
      const part = bytes.subarray(at, at + headBytes - this.inHead);
      this.head.set(part, this.inHead);
      this.inHead += part.length;
      at += part.length;
      if (this.inHead === headBytes) this.readHead();
    }
    return pieces;
  }

  private readHead(): void {
    const { head } = this;
    const [stream = 255] = head;
    // 0 is standard input, which engines count to standard output.
    if (stream > 2 || head[1] !== 0 || head[2] !== 0 || head[3] !== 0) {
      throw new AppError('message.malformed', 'the output of a container does not come as frames');
    }
    this.stream = stream === 2 ? 'stderr' : 'stdout';
    this.left = head.readUInt32BE(4);
    this.inHead = 0;
  }
}
