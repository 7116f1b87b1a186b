/** A worker thread with its sessions, as the engine sees it. Closed when idle, never terminated. */
import type { Worker } from 'node:worker_threads';
import type { Problem } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import type { GroupAnswer, GroupResult } from '../worker/answer-group.js';
import type {
  FromWorker,
  GroupRequest,
  LoadedWorkerModel,
  ToWorker,
  WorkerAnswer,
  WorkerConfig,
} from '../worker/worker-protocol.js';
import type { Group, Runner } from './runner.js';

interface UnderWay {
  readonly sinceMs: number;
  readonly done: (result: GroupResult) => void;
}

export interface WorkerRunnerOptions {
  readonly thread: Worker;
  readonly config: WorkerConfig;
  readonly monotonicMs: () => number;
  /** The thread ended by itself: the process is not to be trusted any more. */
  readonly onCrash: (error: Error) => void;
  /** Memory of a body that nobody refers to any more. */
  readonly onSpent: (buffer: ArrayBuffer) => void;
}

export class WorkerRunner implements Runner {
  readonly limit = 2;
  private readonly underWay = new Map<number, UnderWay>();
  private readonly ended: Promise<void>;
  private lastId = 0;
  private joined = false;

  private constructor(
    private readonly thread: Worker,
    private readonly options: WorkerRunnerOptions,
  ) {
    this.ended = new Promise((resolve) => {
      thread.once('exit', (code) => {
        // A closed worker has nothing under way; any other end is a crash.
        if (this.underWay.size > 0 || (this.joined && code !== 0)) {
          options.onCrash(new Error(`a worker ended with code ${String(code)}`));
        }
        resolve();
      });
    });
    thread.on('error', options.onCrash);
  }

  /** Has the thread load its models. */
  static start(
    options: WorkerRunnerOptions,
  ): Promise<Result<{ readonly runner: WorkerRunner; readonly models: readonly LoadedWorkerModel[] }, Problem>> {
    const { thread, config } = options;
    const runner = new WorkerRunner(thread, options);
    return new Promise((resolve) => {
      thread.on('message', (message: FromWorker) => {
        switch (message.type) {
          case 'loaded':
            runner.joined = true;
            resolve(ok({ runner, models: message.models }));
            return;
          case 'load-failed':
            resolve(err(message.problem));
            return;
          case 'ran':
            for (const buffer of message.spent) options.onSpent(buffer);
            runner.finish(message.id, {
              answers: message.answers.map(answerOf),
              runs: message.runs,
              seen: message.seen,
            });
            return;
        }
      });
      thread.postMessage({ type: 'load', config } satisfies ToWorker);
    });
  }

  get busy(): number {
    return this.underWay.size;
  }

  get busySinceMs(): number | undefined {
    for (const { sinceMs } of this.underWay.values()) return sinceMs;
    return undefined;
  }

  run(group: Group): Promise<GroupResult> {
    const id = ++this.lastId;
    const message: GroupRequest = { type: 'run', id, ...group };
    const done = new Promise<GroupResult>((resolve) => {
      this.underWay.set(id, { sinceMs: this.options.monotonicMs(), done: resolve });
    });
    this.thread.postMessage(
      message,
      group.requests.map(({ buffer }) => buffer),
    );
    return done;
  }

  /** Once nothing is under way. */
  async close(): Promise<void> {
    this.thread.postMessage({ type: 'close' } satisfies ToWorker);
    await this.ended;
  }

  private finish(id: number, result: GroupResult): void {
    const { underWay } = this;
    const finished = underWay.get(id);
    underWay.delete(id);
    // What was at hand begins now.
    for (const [next, waiting] of underWay) {
      underWay.set(next, { ...waiting, sinceMs: this.options.monotonicMs() });
      break;
    }
    finished?.done(result);
  }
}

function answerOf(answer: WorkerAnswer): GroupAnswer {
  return 'problem' in answer ? { ok: false, problem: answer.problem } : { ok: true, response: answer };
}
