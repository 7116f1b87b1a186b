/**
 * The worker threads of one module, and the bounded queue before them. Invariants: a worker has at most
 * two runs, one under way and one at hand, so that it need not wait for the front; what exceeds the
 * queue is refused at once; workers are closed when idle, never terminated.
 */
import { Worker } from 'node:worker_threads';
import { AppError, type Problem } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import type { EncodedResponse } from '../codec/infer-response.js';
import type {
  BodyForm,
  FromWorker,
  LoadedWorkerModel,
  RunRequest,
  ToWorker,
  WorkerConfig,
} from '../worker/worker-protocol.js';
import type { Body } from '../body-reader.js';

const runsPerWorker = 2;
const maxWaitingPerWorker = 128;

export interface PoolRequest {
  readonly model: string;
  readonly answerName: string;
  readonly answerVersion: string;
  readonly form: BodyForm;
  readonly body: Body;
  readonly jsonLength: number | undefined;
  /** Whether nobody waits for the answer any more; asked before the run. */
  readonly abandoned: () => boolean;
}

interface Pending {
  readonly request: PoolRequest;
  readonly resolve: (response: EncodedResponse) => void;
  readonly reject: (error: AppError) => void;
}

interface PoolWorker {
  readonly thread: Worker;
  readonly running: Map<number, Pending>;
  readonly ended: Promise<void>;
}

export class ModelPool {
  private readonly workers: PoolWorker[] = [];
  private readonly waiting: Pending[] = [];
  private lastId = 0;
  private idle: (() => void) | undefined;

  private constructor(private readonly onCrash: (error: Error) => void) {}

  /**
   * Starts the threads and loads the models in each; the first alone, so that a model that does not
   * load fails once.
   *
   * @param options.onCrash a thread ended by itself: the process is not to be trusted any more
   */
  static async start(options: {
    readonly entry: URL;
    readonly config: WorkerConfig;
    readonly instances: number;
    readonly onCrash: (error: Error) => void;
  }): Promise<Result<{ readonly pool: ModelPool; readonly models: readonly LoadedWorkerModel[] }, Problem>> {
    const pool = new ModelPool(options.onCrash);
    const first = await pool.add(options.entry, options.config);
    if (!first.ok) return first;
    const others = Array.from({ length: options.instances - 1 }, () => pool.add(options.entry, options.config));
    const failed = (await Promise.all(others)).find((other) => !other.ok);
    if (failed && !failed.ok) {
      await pool.close();
      return failed;
    }
    return ok({ pool, models: first.value });
  }

  /** @throws AppError `score.overloaded`, `request.aborted`, and what the run ended with */
  run(request: PoolRequest): Promise<EncodedResponse> {
    return new Promise((resolve, reject) => {
      if (this.waiting.length >= maxWaitingPerWorker * this.workers.length) {
        reject(
          new AppError('score.overloaded', `${String(this.waiting.length)} requests wait already: try again shortly`),
        );
        return;
      }
      this.waiting.push({ request, resolve, reject });
      this.dispatch();
    });
  }

  get pending(): number {
    return this.waiting.length;
  }

  /** Waits until nothing runs, then ends the threads. */
  async close(): Promise<void> {
    while (this.waiting.length > 0 || this.workers.some(({ running }) => running.size > 0)) {
      await new Promise<void>((resolve) => {
        this.idle = resolve;
      });
    }
    for (const { thread } of this.workers) thread.postMessage({ type: 'close' } satisfies ToWorker);
    await Promise.all(this.workers.map(({ ended }) => ended));
  }

  private add(entry: URL, config: WorkerConfig): Promise<Result<readonly LoadedWorkerModel[], Problem>> {
    const thread = new Worker(entry, { workerData: config, execArgv: [] });
    const running = new Map<number, Pending>();
    let joined = false;
    return new Promise((resolve) => {
      const ended = new Promise<void>((end) => {
        thread.once('exit', () => end());
      });
      thread.on('error', (error) => this.onCrash(error));
      thread.on('message', (message: FromWorker) => {
        switch (message.type) {
          case 'loaded':
            joined = true;
            this.workers.push({ thread, running, ended });
            resolve(ok(message.models));
            return;
          case 'load-failed':
            resolve(err(message.problem));
            return;
          case 'answer': {
            const { body, jsonLength } = message;
            this.settle(running, message.id)?.resolve(jsonLength === undefined ? { body } : { body, jsonLength });
            return;
          }
          case 'refused': {
            const { code, message: text, details } = message.problem;
            this.settle(running, message.id)?.reject(new AppError(code, text, { details: details ?? {} }));
            return;
          }
        }
      });
      thread.once('exit', (code) => {
        // Closed workers have nothing under way; any other end is a crash.
        if (running.size > 0 || (joined && code !== 0))
          this.onCrash(new Error(`a worker ended with code ${String(code)}`));
      });
    });
  }

  private settle(running: Map<number, Pending>, id: number): Pending | undefined {
    const pending = running.get(id);
    running.delete(id);
    this.dispatch();
    if (this.waiting.length === 0 && this.workers.every((worker) => worker.running.size === 0)) this.idle?.();
    return pending;
  }

  private dispatch(): void {
    for (;;) {
      const worker = this.freest();
      const pending = worker && this.waiting.shift();
      if (!worker || !pending) return;
      if (pending.request.abandoned()) {
        pending.reject(new AppError('request.aborted', 'the client closed the connection while its request waited'));
        continue;
      }
      const id = ++this.lastId;
      worker.running.set(id, pending);
      const { body, model, answerName, answerVersion, form, jsonLength } = pending.request;
      const message: RunRequest = { type: 'run', id, model, answerName, answerVersion, form, jsonLength, ...body };
      worker.thread.postMessage(message, [body.buffer]);
    }
  }

  private freest(): PoolWorker | undefined {
    let best: PoolWorker | undefined;
    for (const worker of this.workers) {
      if (worker.running.size < runsPerWorker && worker.running.size < (best?.running.size ?? runsPerWorker))
        best = worker;
    }
    return best;
  }
}
