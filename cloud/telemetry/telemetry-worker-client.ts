/** The telemetry store in threads of their own, so that neither commits nor questions hold up the broker or the API. */
import { Worker } from 'node:worker_threads';
import { AppError, type Problem } from '#shared/kernel/errors.js';
import type { TelemetryPort } from './telemetry-port.js';
import type { TelemetryWorkerData, WorkerCall, WorkerMessage, WorkerRequest } from './telemetry-worker-protocol.js';

export interface TelemetryWorkerOptions {
  /** The built `telemetry-worker.js`. */
  readonly entry: URL;
  readonly databasePath: string;
  readonly task?: TelemetryWorkerData['task'];
  /** Minutes are told by device too. */
  readonly tellsDevices?: boolean;
  /** Told when the thread ends by itself: a bug, after which the process should be started anew. */
  readonly onFailure: (error: Error) => void;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class TelemetryWorkerClient implements TelemetryPort {
  private readonly waiting = new Map<number, Waiting>();
  private lastId = 0;
  private closing = false;

  private constructor(
    private readonly worker: Worker,
    private readonly options: TelemetryWorkerOptions,
  ) {}

  static async start(options: TelemetryWorkerOptions): Promise<TelemetryWorkerClient> {
    const worker = new Worker(options.entry, {
      workerData: {
        path: options.databasePath,
        task: options.task ?? 'stores',
        tellsDevices: options.tellsDevices ?? false,
      } satisfies TelemetryWorkerData,
      // The entry is built: whatever makes this process read sources must not reach it.
      execArgv: [],
    });
    const client = new TelemetryWorkerClient(worker, options);
    await untilReady(worker);
    client.listen();
    return client;
  }

  readonly ingest = this.calling('ingest');
  readonly telemetry = this.calling('telemetry');
  readonly events = this.calling('events');
  readonly series = this.calling('series');
  readonly cohort = this.calling('cohort');
  readonly shadows = this.calling('shadows');
  readonly sides = this.calling('sides');
  readonly newEvents = this.calling('newEvents');
  readonly rollUp = this.calling('rollUp');
  readonly thin = this.calling('thin');
  readonly prune = this.calling('prune');
  readonly eraseWorkspace = this.calling('eraseWorkspace');

  async close(): Promise<void> {
    if (this.closing) return;
    const exited = new Promise<void>((resolve) => this.worker.once('exit', () => resolve()));
    const closed = this.call({ kind: 'close', args: [] });
    this.closing = true;
    await closed;
    await exited;
  }

  private listen(): void {
    this.worker.on('message', (message: WorkerMessage) => {
      if (message.kind === 'answer') this.settle(message.id)?.resolve(message.value);
      else if (message.kind === 'problem') this.settle(message.id)?.reject(errorOf(message.problem));
    });
    this.worker.on('error', (error) => this.fail(error));
    this.worker.on('exit', (code) => this.fail(new Error(`the telemetry thread ended with code ${String(code)}`)));
  }

  private calling<Kind extends keyof TelemetryPort>(kind: Kind): TelemetryPort[Kind] {
    // A method of the port with its arguments is a call, and what comes back is what it resolves with.
    const method = (...args: readonly unknown[]): Promise<unknown> =>
      this.call({ kind, args } as unknown as WorkerCall);
    return method as unknown as TelemetryPort[Kind];
  }

  private call(call: WorkerCall): Promise<unknown> {
    if (this.closing) return Promise.reject(new AppError('request.aborted', 'the control plane is stopping'));
    const request: WorkerRequest = { id: ++this.lastId, call };
    return new Promise((resolve, reject) => {
      this.waiting.set(request.id, { resolve, reject });
      this.worker.postMessage(request);
    });
  }

  private settle(id: number): Waiting | undefined {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    return waiting;
  }

  private fail(error: Error): void {
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
    if (this.closing) return;
    this.closing = true;
    this.options.onFailure(error);
  }
}

/** Leaves the worker with the listeners it had: taking all away would stop its message port. */
async function untilReady(worker: Worker): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const settle = (error: Error | undefined): void => {
      worker.off('error', settle).off('exit', ended).off('message', answered);
      if (error) reject(error);
      else resolve();
    };
    const ended = (): void => settle(new Error('the telemetry thread ended before it was ready'));
    const answered = (message: WorkerMessage): void =>
      settle(message.kind === 'failed' ? errorOf(message.problem) : undefined);
    worker.on('error', settle).on('exit', ended).on('message', answered);
  });
}

function errorOf({ code, message, details }: Problem): AppError {
  return new AppError(code, message, details ? { details } : {});
}
