/** Who asks, and how it is answered, whichever way its bytes are read: by Node's server, or by ours (decision 0049). */
import type { IncomingHttpHeaders } from 'node:http';
import type { AppError } from '#shared/kernel/errors.js';
import type { BodyPace } from '#shared/scoring/body-pace.js';
import type { BodyRest } from './replica-call.js';

export interface BodyStart {
  readonly bytes: Buffer;
  /** There is nothing more. */
  readonly whole: boolean;
}

export interface RestOptions {
  readonly maxBodyBytes: number;
  /** Of what was held. */
  readonly before: number;
  /** It goes on in chunks: its length is not known. */
  readonly chunked: boolean;
  /** Sees what goes on, to keep a copy. */
  readonly seen: (chunk: Buffer) => void;
  readonly failed: (error: AppError) => void;
}

/** One request. Its answer: `begin`, `write` any number of times, `end`; or `abort` at any time. */
export interface Caller {
  readonly method: string;
  /** As it came. */
  readonly url: string;
  /** Those that the front itself looks at, at least. */
  readonly headers: IncomingHttpHeaders;
  /** All: names and values in turn, as they came. */
  readonly rawHeaders: readonly string[];
  /** Bytes of the body; undefined: it comes in chunks. */
  readonly declaredLength: number | undefined;
  /** The head of an answer was given. */
  readonly begun: boolean;
  /** @param left called once the connection is lost; after the end of the answer it means nothing */
  onLeft(left: () => void): void;
  /** Who asked first whether to send its body, may. */
  goAhead(): void;
  /**
   * Reads the beginning of the body, at most a little more than `heldBytes`; what is beyond stays where it is. One of the
   * two is called, once, maybe before it returns.
   *
   * @param failed `request.aborted`, `request.timeout`
   */
  readStart(pace: BodyPace, read: (start: BodyStart) => void, failed: (error: AppError) => void): void;
  /** What follows a beginning that is not whole. */
  restOfBody(options: RestOptions): BodyRest;
  /** The answer is the last on its connection; to be said before `begin`. */
  closeAfter(): void;
  /**
   * @param fields names in lower case and values in turn, `content-length` among them where there is a body of known length
   * @param streams its body has no known length, and what there is of the answer is to go out at once
   */
  begin(status: number, fields: string[], streams: boolean): void;
  /** @returns false: not more before `drained` is called */
  write(chunk: Buffer, drained: () => void): boolean;
  end(last?: Buffer): void;
  /** Breaks off. */
  abort(): void;
}
