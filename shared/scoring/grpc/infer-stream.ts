/**
 * One ModelStreamInfer call: several requests at work, answered in the order in which they came. A request
 * that fails is an answer with `error_message`; the stream goes on. A stream ends when its client has sent
 * all, or, where the host ends, once nothing is under way.
 */
import type { ScoringHost } from '../host/scoring-host.js';
import type { GrpcCall } from './grpc-call.js';
import { type GrpcFailure, grpcFailureOf } from './grpc-status.js';
import type { InferMessage } from './infer-body.js';
import type { AnswerMessage } from './infer-answer.js';
import { modelStreamInferResponse } from './messages.js';
import { encode } from './message-type.js';
import { modelInfer, readInferMessage } from './model-infer.js';

/** Requests of one stream that are at work together; the client waits before it sends more. */
const maxUnderWay = 32;

/** The ends of the call that grpc-js gives. */
export interface MessageStream {
  on(event: 'data', listener: (message: Uint8Array) => void): unknown;
  on(event: 'end', listener: () => void): unknown;
  pause(): unknown;
  resume(): unknown;
  write(message: Buffer): boolean;
  once(event: 'drain', listener: () => void): unknown;
}

export class InferStream {
  private underWay = 0;
  private written = Promise.resolve();
  private sentAll = false;
  private over = false;
  private refusal: GrpcFailure | undefined;

  /** @param end ends the call; with the failure, where there is one */
  constructor(
    private readonly host: ScoringHost,
    private readonly stream: MessageStream,
    private readonly call: GrpcCall,
    private readonly end: (failure: GrpcFailure | undefined) => void,
  ) {
    stream.on('data', (message) => this.take(message));
    stream.on('end', () => {
      this.sentAll = true;
      this.endIfDone();
    });
  }

  /** Ends the call as soon as nothing is under way. */
  finish(failure: GrpcFailure): void {
    this.refusal = failure;
    this.endIfDone();
  }

  /** Ends the call at once: what is under way is answered to nobody. */
  cut(failure: GrpcFailure): void {
    if (this.over) return;
    this.over = true;
    this.end(failure);
  }

  private take(bytes: Uint8Array): void {
    if (this.over) return;
    this.underWay += 1;
    if (this.underWay >= maxUnderWay) this.stream.pause();
    const answer = this.answer(bytes);
    this.written = this.written.then(async () => {
      const message = await answer;
      if (!this.over && !this.call.abandoned() && !this.stream.write(message)) await this.drained();
      this.underWay -= 1;
      this.stream.resume();
      this.endIfDone();
    });
  }

  private drained(): Promise<void> {
    return new Promise((resolve) => {
      this.stream.once('drain', resolve);
      // A client that is gone reads no more.
      if (this.call.abandoned()) resolve();
    });
  }

  private async answer(bytes: Uint8Array): Promise<Buffer> {
    let message: InferMessage | undefined;
    try {
      message = readInferMessage(this.host, bytes);
      return encode(modelStreamInferResponse, { infer_response: await modelInfer(this.host, message, this.call) });
    } catch (error) {
      const about: AnswerMessage = message ? { id: message.id, model_name: message.model_name } : {};
      return encode(modelStreamInferResponse, {
        error_message: grpcFailureOf(error).details,
        infer_response: about,
      });
    }
  }

  private endIfDone(): void {
    if (this.over || this.underWay > 0 || !(this.sentAll || this.refusal)) return;
    this.over = true;
    this.end(this.sentAll ? undefined : this.refusal);
  }
}
