/**
 * One module as a scoring host serves it: its models in worker threads and, where it has user code, the
 * way to its script host. Everything that answers a request, live or golden, goes through `answer`.
 */
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { AppError, type ErrorCode, type Problem } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import type { EncodedResponse } from '../codec/infer-response.js';
import type { ModelSignature } from '../codec/tensor.js';
import type { HostedModule, LoadedModule } from '../host-protocol.js';
import { ScriptClient, type ScriptAnswer } from '../script-host/script-client.js';
import type { BodyForm, LoadedWorkerModel } from '../worker/worker-protocol.js';
import type { Body } from '../body-reader.js';
import { ModelPool } from './model-pool.js';
import { type FailureReason, ModelStatistics } from '../engine/statistics.js';
import { ModuleCounts } from './module-counts.js';

export interface ModelCall {
  readonly form: BodyForm;
  readonly body: Body;
  readonly jsonLength: number | undefined;
  readonly abandoned: () => boolean;
  /** As the protocol has it: 1 is the highest, 0 or absent the default, which is the lowest. */
  readonly priority?: number;
  /** Instant of the monotonic clock after which nobody wants the answer; absent: the module's default. */
  readonly deadlineMs?: number;
}

export class LoadedHostedModule {
  readonly counts = new ModuleCounts();
  /** Since this version was loaded. */
  readonly statistics = new ModelStatistics();
  readonly script: ScriptClient | undefined;
  private readonly single: LoadedWorkerModel | undefined;

  private constructor(
    readonly module: HostedModule,
    private readonly pool: ModelPool,
    private readonly models: readonly LoadedWorkerModel[],
  ) {
    this.script = module.scriptSocket === undefined ? undefined : new ScriptClient(module.name, module.scriptSocket);
    this.single = models[0];
  }

  static async load(
    module: HostedModule,
    workerEntry: URL,
    onCrash: (error: Error) => void,
  ): Promise<Result<LoadedHostedModule, Problem>> {
    if (module.scriptSocket === undefined && module.models.length !== 1) {
      const message = `module "${module.name}" has ${String(module.models.length)} models and no script that says how to use them: give it one model, or flavor node`;
      return err({ code: 'module.not-yet', message });
    }
    const started = await ModelPool.start({
      entry: workerEntry,
      config: {
        models: module.models.map(({ name, file }) => ({ name, path: join(module.folder, file) })),
        accelerators: module.accelerators,
      },
      instances: module.instances,
      onCrash,
    });
    return started.ok ? ok(new LoadedHostedModule(module, started.value.pool, started.value.models)) : started;
  }

  get name(): string {
    return this.module.name;
  }

  /** What really runs the models: one word, or several where they differ. */
  get provider(): string {
    return [...new Set(this.models.map(({ provider }) => provider))].join('+');
  }

  /** Of a module without user code: its one model's. A script may take and give anything. */
  get signature(): ModelSignature {
    return this.script || !this.single ? { inputs: [], outputs: [] } : this.single.signature;
  }

  describe(): LoadedModule {
    return {
      name: this.name,
      provider: this.provider,
      fallbacks: this.models.flatMap(({ fallbacks }) => fallbacks),
      models: this.models.map(({ name, provider, nodes }) => ({
        name,
        provider,
        ...(nodes === undefined ? {} : { nodes }),
      })),
    };
  }

  model(name: string): LoadedWorkerModel | undefined {
    return this.models.find((model) => model.name === name);
  }

  /** Answers with the module's one model. */
  answer(call: ModelCall): Promise<EncodedResponse> {
    if (this.script || !this.single) throw new Error(`module ${this.name} answers through its script`);
    return this.runModel(this.single.name, call);
  }

  runModel(model: string, call: ModelCall): Promise<EncodedResponse> {
    if (!this.model(model)) {
      throw new AppError('model.not-found', `module "${this.name}" has no model "${model}"`);
    }
    return this.pool.run({
      model,
      answerName: this.script ? model : this.name,
      answerVersion: String(this.module.version),
      ...call,
    });
  }

  /** Answers with the module's script. */
  async answerByScript(
    path: '/score' | '/infer',
    headers: IncomingHttpHeaders,
    requestId: string,
    body: Readable | Uint8Array,
  ): Promise<ScriptAnswer> {
    if (!this.script) throw new Error(`module ${this.name} has no script`);
    return this.script.post(path, scriptHeaders(headers, requestId), body);
  }

  /** @param atMs wall time */
  succeeded(latencyMs: number, atMs: number): void {
    this.counts.succeeded(latencyMs);
    this.statistics.succeeded(latencyMs, atMs);
  }

  failed(latencyMs: number, code: ErrorCode): void {
    this.counts.failed(code);
    this.statistics.failed(latencyMs, failureReasonOf(code));
  }

  /** Requests that wait for a worker. */
  get pending(): number {
    return this.pool.pending;
  }

  close(): Promise<void> {
    return this.pool.close();
  }
}

function failureReasonOf(code: ErrorCode): FailureReason {
  if (code === 'score.overloaded' || code === 'score.not-ready') return 'REJECTED';
  if (code === 'request.aborted' || code === 'score.timeout') return 'CANCELED';
  return code === 'score.failed' || code === 'internal' ? 'BACKEND' : 'OTHER';
}

/** Of the connection between the client and us, not of the request. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
  'expect',
]);

function scriptHeaders(headers: IncomingHttpHeaders, requestId: string): OutgoingHttpHeaders {
  const kept = Object.entries(headers).filter(([name]) => !hopByHop.has(name));
  return { ...Object.fromEntries(kept), 'x-request-id': requestId };
}
