/**
 * The thread that decodes pictures: started when there is one to decode, ended when none comes for a while, and
 * replaced when a picture takes too long or breaks it. One picture at a time.
 */
import { Worker } from 'node:worker_threads';
import { AppError } from '#shared/kernel/errors.js';
import type { ImageCodec } from '#shared/protocol/image-codec.js';
import type { FromDecoder, ToDecoder } from './decoder-protocol.js';

export interface DecoderOptions {
  /** Path of the built entry, main.js in this folder; asked when there is something to decode. */
  readonly entry: () => string;
  readonly timeoutMs: number;
  readonly idleMs: number;
}

/** Of the thread's own objects; pixels are counted before they are decoded. */
const maxHeapMegabytes = 256;

export const usualDecoding = { timeoutMs: 20_000, idleMs: 60_000 } as const;

export class PictureDecoder {
  private turn: Promise<unknown> = Promise.resolve();
  private worker: Worker | undefined;
  private idle: NodeJS.Timeout | undefined;
  private ids = 0;

  constructor(private readonly options: DecoderOptions) {}

  /**
   * @returns the numbers as the codec wants them, as bytes
   * @throws AppError `message.malformed`, `message.too-large`
   */
  decode(bytes: Buffer, codec: ImageCodec): Promise<Uint8Array> {
    const mine = this.turn.then(() => this.decodeNow(bytes, codec));
    this.turn = mine.catch(() => undefined);
    return mine;
  }

  async stop(): Promise<void> {
    clearTimeout(this.idle);
    const { worker } = this;
    this.worker = undefined;
    await worker?.terminate();
  }

  private async decodeNow(bytes: Buffer, codec: ImageCodec): Promise<Uint8Array> {
    clearTimeout(this.idle);
    const worker = this.worker ?? this.start();
    this.worker = worker;
    this.ids += 1;
    const question: ToDecoder = { id: this.ids, bytes, codec };
    try {
      return await this.ask(worker, question);
    } finally {
      this.idle = setTimeout(() => void this.stop(), this.options.idleMs);
      this.idle.unref();
    }
  }

  private ask(worker: Worker, question: ToDecoder): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        worker.off('message', onMessage);
        worker.off('error', onEnd);
        worker.off('exit', onEnd);
      };
      const onMessage = (answer: FromDecoder): void => {
        if (answer.id !== question.id) return;
        done();
        if ('numbers' in answer) resolve(new Uint8Array(answer.numbers));
        else reject(new AppError(answer.problem.code, answer.problem.message));
      };
      const onEnd = (): void => {
        done();
        if (this.worker === worker) this.worker = undefined;
        void worker.terminate();
        reject(new AppError('message.malformed', 'the picture cannot be decoded: it ended what decodes it'));
      };
      const timer = setTimeout(() => {
        done();
        if (this.worker === worker) this.worker = undefined;
        void worker.terminate();
        reject(new AppError('message.malformed', 'the picture cannot be decoded: it takes too long'));
      }, this.options.timeoutMs);
      worker.on('message', onMessage);
      worker.once('error', onEnd);
      worker.once('exit', onEnd);
      worker.postMessage(question);
    });
  }

  private start(): Worker {
    const worker = new Worker(this.options.entry(), {
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMegabytes },
      env: {},
      execArgv: [],
    });
    worker.unref();
    // Of a thread that nobody waits for: the next picture starts another.
    worker.on('error', () => {
      if (this.worker === worker) this.worker = undefined;
    });
    return worker;
  }
}
