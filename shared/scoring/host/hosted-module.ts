/**
 * One module as a scoring host serves it: its models in worker threads and, where it has user code, the
 * way to its script host. Everything that answers a request, live or golden, goes through `answer`.
 */
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { AppError, type ErrorCode, type Problem } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import type { EncodedResponse } from '../codec/infer-response.js';
import type { ModelSignature } from '../codec/tensor.js';
import type { HostedModule, LoadedModule } from '../host-protocol.js';
import { ScriptClient, type ScriptAnswer, type ScriptPath } from '../script-host/script-client.js';
import type { Engine } from '../engine/engine.js';
import type { ModelCall } from '../engine/model-call.js';
import { type ModuleDeps, type RunningModels, startModels } from '../engine/start-models.js';
import type { LoadedWorkerModel } from '../worker/worker-protocol.js';
import type { Observed } from '../engine/observed.js';
import type { FailureReason, ModelStatistics } from '../engine/statistics.js';
import { ModuleCounts } from './module-counts.js';

export class LoadedHostedModule {
  readonly counts = new ModuleCounts();
  /** Since this version was loaded. */
  get statistics(): ModelStatistics {
    return this.running.statistics;
  }

  /** Since it was last taken. */
  get observed(): Observed {
    return this.running.observed;
  }

  readonly script: ScriptClient | undefined;
  private readonly single: LoadedWorkerModel | undefined;

  private constructor(
    readonly module: HostedModule,
    private readonly running: RunningModels,
    private readonly engine: Engine,
    /** By how much this process grew while it was loaded; never below 0. */
    readonly loadedBytes: number,
  ) {
    this.script = module.scriptSocket === undefined ? undefined : new ScriptClient(module.name, module.scriptSocket);
    this.single = running.models[0];
  }

  static async load(module: HostedModule, deps: ModuleDeps): Promise<Result<LoadedHostedModule, Problem>> {
    if (module.scriptSocket === undefined && module.models.length !== 1) {
      const message = `module "${module.name}" has ${String(module.models.length)} models and no script that says how to use them: give it one model, or flavor node`;
      return err({ code: 'module.not-yet', message });
    }
    const before = process.memoryUsage.rss();
    const running = await startModels(module, deps);
    if (!running.ok) return running;
    const grownBytes = Math.max(0, process.memoryUsage.rss() - before);
    return ok(new LoadedHostedModule(module, running.value, deps.engine, grownBytes));
  }

  get name(): string {
    return this.module.name;
  }

  /** What really runs the models: one word, or several where they differ. */
  get provider(): string {
    return [...new Set(this.running.models.map(({ provider }) => provider))].join('+');
  }

  /** Of a module without user code: its one model's. A script may take and give anything. */
  get signature(): ModelSignature {
    return this.script || !this.single ? { inputs: [], outputs: [] } : this.single.signature;
  }

  describe(): LoadedModule {
    return {
      name: this.name,
      provider: this.provider,
      fallbacks: this.running.models.flatMap(({ fallbacks }) => fallbacks),
      models: this.running.models.map(({ name, provider, nodes, traits }) => ({
        name,
        provider,
        ...(nodes === undefined ? {} : { nodes }),
        inline: this.running.lanes.get(name)?.inline !== undefined,
        maxBatchRows: traits.maxBatchRows,
        batchingReason: traits.batchingReason,
      })),
    };
  }

  model(name: string): LoadedWorkerModel | undefined {
    return this.running.models.find((model) => model.name === name);
  }

  /** Answers with the module's one model. */
  answer(call: ModelCall): Promise<EncodedResponse> {
    if (this.script || !this.single) throw new Error(`module ${this.name} answers through its script`);
    return this.runModel(this.single.name, call);
  }

  runModel(model: string, call: ModelCall): Promise<EncodedResponse> {
    const lane = this.running.lanes.get(model);
    if (!lane) throw new AppError('model.not-found', `module "${this.name}" has no model "${model}"`);
    return this.engine.submit(lane, call);
  }

  /**
   * Before a body is read: whether its request could wait.
   *
   * @throws AppError `score.overloaded`
   */
  admit(bytes: number): void {
    const lane = this.single && this.running.lanes.get(this.single.name);
    if (lane && !this.script) this.engine.admit(lane, bytes);
  }

  /** Answers with the module's script. */
  async answerByScript(
    path: ScriptPath,
    headers: IncomingHttpHeaders,
    requestId: string,
    body: Readable | Uint8Array,
    signal?: AbortSignal,
  ): Promise<ScriptAnswer> {
    if (!this.script) throw new Error(`module ${this.name} has no script`);
    return this.script.post(path, scriptHeaders(headers, requestId), body, signal);
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
    return [...this.running.lanes.values()].reduce((sum, { waiting }) => sum + waiting, 0);
  }

  /** Answers what it has, then ends the workers. */
  close(): Promise<void> {
    return this.running.close();
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
