/**
 * Where the threads of workers come from. The first is started ahead, so that its program loads, and onnxruntime
 * with it, before anybody knows which models there are.
 */
import { Worker } from 'node:worker_threads';

export class WorkerThreads {
  private ahead: Worker | undefined;

  constructor(private readonly entry: URL) {
    this.ahead = this.start();
    // One that nobody takes keeps no process alive.
    this.ahead.unref();
  }

  take(): Worker {
    const { ahead } = this;
    this.ahead = undefined;
    ahead?.ref();
    return ahead ?? this.start();
  }

  private start(): Worker {
    return new Worker(this.entry, { execArgv: [] });
  }
}
