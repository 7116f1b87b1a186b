/**
 * The bytes of one client between its transport (TLS, or WebSocket over TLS) and aedes, with what aedes
 * lacks. Invariants: no packet is collected that announces more than it may; what a client sends faster
 * than it may waits in its own socket, and it is cut off when it goes on; at most `maxWaitingBytes` wait
 * for a reader, and one that takes no piece for `stallMs` is cut off, so that a frozen reader costs
 * nobody else anything.
 */
import { Duplex } from 'node:stream';
import { FrameGuard, maxPacketBytes, maxPacketBytesBeforeConnect } from '#shared/protocol/frame-guard.js';
import { type FlowLimits, FlowMeter } from './flow-meter.js';

/** A connection as the stream needs it; errors end in `onClose`. */
export interface Transport {
  /** Calls back when the system has taken the bytes. */
  write(bytes: Buffer, done: (error?: Error | null) => void): void;
  pause(): void;
  resume(): void;
  /** After what was written has gone out. */
  end(): void;
  destroy(): void;
  onData(listener: (bytes: Buffer) => void): void;
  onClose(listener: () => void): void;
  /** Bytes that it holds itself. */
  waitingBytes(): number;
}

export interface StreamLimits {
  readonly flow: FlowLimits;
  readonly maxWaitingBytes: number;
  readonly stallMs: number;
  /** Cut off when it was never let alone for so long. */
  readonly maxThrottledMs: number;
  /** Of one packet once the client is accepted; absent: what devices and control plane send each other. */
  readonly maxPacketBytes?: number;
}

/** Written one after the other, so that a slow reader is seen to make progress. */
const pieceBytes = 64 * 1024;

type Written = (error?: Error | null) => void;

export class ClientStream extends Duplex {
  /** Before this the limit on packets is that of strangers. */
  accepted = false;
  private readonly guard = new FrameGuard();
  private readonly flow: FlowMeter;
  private packets = 0;
  private resumeTimer: NodeJS.Timeout | undefined;
  private throttledSince: number | undefined;
  private hungry = true;

  /** @param now monotonic milliseconds */
  constructor(
    private readonly transport: Transport,
    private readonly limits: StreamLimits,
    private readonly now: () => number,
  ) {
    super({ allowHalfOpen: false, writableHighWaterMark: 4 * pieceBytes });
    this.flow = new FlowMeter(limits.flow, now());
    transport.onData((bytes) => this.arrived(bytes));
    transport.onClose(() => {
      if (!this.destroyed) this.destroy();
    });
  }

  /** Everything that waits for the reader, here and in its transport. */
  get waitingBytes(): number {
    return this.writableLength + this.transport.waitingBytes();
  }

  override write(chunk: unknown, callback?: Written): boolean;
  override write(chunk: unknown, encoding: BufferEncoding, callback?: Written): boolean;
  override write(chunk: unknown, encoding?: BufferEncoding | Written, callback?: Written): boolean {
    const more =
      typeof encoding === 'string' ? super.write(chunk, encoding, callback) : super.write(chunk, encoding ?? callback);
    if (this.waitingBytes > this.limits.maxWaitingBytes && !this.destroyed) {
      this.cut(`more than ${String(this.limits.maxWaitingBytes)} bytes wait for it to read`);
    }
    return more;
  }

  override _read(): void {
    this.hungry = true;
    if (this.resumeTimer === undefined) this.transport.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.send([chunk], done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.send(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }

  override _final(done: (error?: Error | null) => void): void {
    this.transport.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.resumeTimer);
    this.transport.destroy();
    done(error);
  }

  private cut(reason: string): void {
    this.destroy(new Error(reason));
  }

  private arrived(bytes: Buffer): void {
    if (this.destroyed) return;
    const most = this.limits.maxPacketBytes ?? maxPacketBytes;
    const limit = this.accepted ? most : maxPacketBytesBeforeConnect;
    const verdict = this.guard.inspect(bytes, limit);
    if (verdict !== 'pass') {
      this.cut(verdict === 'malformed' ? 'a packet is malformed' : `a packet is larger than ${String(limit)} bytes`);
      return;
    }
    this.hungry = this.push(bytes);
    const begun = this.guard.packets - this.packets;
    this.packets = this.guard.packets;
    this.throttle(this.flow.take(begun, bytes.length, this.now()));
    if (!this.hungry) this.transport.pause();
  }

  private throttle(waitMs: number): void {
    if (waitMs === 0) {
      this.throttledSince = undefined;
      return;
    }
    this.throttledSince ??= this.now();
    if (this.now() - this.throttledSince > this.limits.maxThrottledMs) {
      this.cut('it sends faster than it may, and goes on');
      return;
    }
    this.transport.pause();
    clearTimeout(this.resumeTimer);
    this.resumeTimer = setTimeout(() => {
      this.resumeTimer = undefined;
      if (this.hungry) this.transport.resume();
    }, waitMs);
  }

  private send(chunks: readonly Buffer[], done: (error?: Error | null) => void): void {
    const pieces = intoPieces(chunks);
    const next = (error?: Error | null): void => {
      clearTimeout(stall);
      const piece = pieces.shift();
      if (error || piece === undefined || this.destroyed) {
        done(error);
        return;
      }
      stall = setTimeout(() => this.cut('it does not read'), this.limits.stallMs);
      this.transport.write(piece, next);
    };
    let stall: NodeJS.Timeout | undefined;
    next();
  }
}

/** Small chunks together, large ones in parts, none above {@link pieceBytes}. */
function intoPieces(chunks: readonly Buffer[]): Buffer[] {
  const pieces: Buffer[] = [];
  let small: Buffer[] = [];
  let smallBytes = 0;
  const flush = (): void => {
    if (small.length > 0) pieces.push(small.length === 1 && small[0] ? small[0] : Buffer.concat(small, smallBytes));
    small = [];
    smallBytes = 0;
  };
  for (const chunk of chunks) {
    if (smallBytes + chunk.length > pieceBytes) flush();
    if (chunk.length > pieceBytes) {
      for (let at = 0; at < chunk.length; at += pieceBytes) pieces.push(chunk.subarray(at, at + pieceBytes));
    } else {
      small.push(chunk);
      smallBytes += chunk.length;
    }
  }
  flush();
  return pieces;
}
