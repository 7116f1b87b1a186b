/** One answer of a replica, from the bytes of its connection as they come. */
import { type AnswerHead, readAnswerHead } from './answer-head.js';
import { ChunkedBody } from './chunked-body.js';

/** In this order: the head once, data any number of times. The end is what {@link AnswerReader.take} returns. */
export interface AnswerParts {
  head(head: AnswerHead): void;
  data(chunk: Buffer): void;
}

/** `extra`: the answer is whole, and more came than belongs to it: the connection can carry nothing else. */
export type ReadStep = 'more' | 'done' | 'extra' | 'invalid';

const headEnd = Buffer.from('\r\n\r\n');
const maxHeadBytes = 64 * 1024;

export class AnswerReader {
  private begun: Buffer | undefined;
  private head: AnswerHead | undefined;
  private missing = 0;
  private chunked: ChunkedBody | undefined;

  constructor(
    private readonly method: string,
    private readonly parts: AnswerParts,
  ) {}

  take(bytes: Buffer): ReadStep {
    return this.head ? this.takeBody(this.head, bytes) : this.takeHead(bytes);
  }

  /** Whether the connection may end here, the answer being whole by that. */
  get endsWithConnection(): boolean {
    return this.head?.framing.kind === 'close';
  }

  private takeHead(bytes: Buffer): ReadStep {
    const all = this.begun ? Buffer.concat([this.begun, bytes]) : bytes;
    const end = all.indexOf(headEnd);
    if (end < 0) {
      this.begun = all;
      return all.length > maxHeadBytes ? 'invalid' : 'more';
    }
    this.begun = undefined;
    const rest = all.subarray(end + headEnd.length);
    const head = end > maxHeadBytes ? undefined : readAnswerHead(all.toString('latin1', 0, end), this.method);
    if (!head || head.status === 101) return 'invalid';
    // What is said on the way: the answer follows.
    if (head.status < 200) return rest.length > 0 ? this.takeHead(rest) : 'more';
    this.head = head;
    if (head.framing.kind === 'length') this.missing = head.framing.bytes;
    if (head.framing.kind === 'chunked') this.chunked = new ChunkedBody((chunk) => this.parts.data(chunk));
    this.parts.head(head);
    return this.takeBody(head, rest);
  }

  private takeBody({ framing }: AnswerHead, bytes: Buffer): ReadStep {
    if (this.chunked) {
      const step = this.chunked.take(bytes);
      if (step.kind !== 'done') return step.kind;
      return step.left.length > 0 ? 'extra' : 'done';
    }
    if (framing.kind === 'close') {
      if (bytes.length > 0) this.parts.data(bytes);
      return 'more';
    }
    const own = bytes.length > this.missing ? bytes.subarray(0, this.missing) : bytes;
    this.missing -= own.length;
    if (own.length > 0) this.parts.data(own);
    if (this.missing > 0) return 'more';
    return own.length < bytes.length ? 'extra' : 'done';
  }
}
