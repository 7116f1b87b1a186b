/**
 * What stands between the faces of a scoring host and its modules: which version answers, the copies to
 * a shadow, answers kept for equal requests, samples kept for later. A host where none of it is asked for
 * does none of it.
 */
import { join } from 'node:path';
import type { NewId } from '#shared/kernel/ids.js';
import { toProblem } from '#shared/kernel/errors.js';
import type { EncodedResponse } from '../codec/infer-response.js';
import type { ModelCall } from '../engine/model-call.js';
import type { LoadedHostedModule } from '../host/hosted-module.js';
import type { HostModuleStats } from '../host-protocol.js';
import { askShadow } from './ask-shadow.js';
import { Collecting } from '../collect/collecting.js';
import { Capture, type CaptureSink } from './capture/capture.js';
import { CaptureWriter } from './capture/capture-writer.js';
import { captureFolderOf, cloudEventLine } from './capture/cloud-event.js';
import type { RequestHeaders } from './request-origin.js';
import { identityOf } from './request-identity.js';
import { ResponseCache } from './response-cache.js';
import type { Ask, Copying, Shadow } from './shadow.js';
import type { OutsideStats, ShadowStats } from './shadow-counts.js';
import { TrafficRules, type TrafficRulesPorts } from './traffic-rules.js';
import type { ShadowDoor } from './traffic-schema.js';

/** Hashing more would hold up the thread that speaks HTTP for longer than it saves. */
const maxCachedRequestBytes = 1024 * 1024;
const maxBufferedCaptureBytes = 8 * 1024 * 1024;

export interface HostAnswer extends EncodedResponse {
  /** Present where answers are kept: whether this one was. */
  readonly cache?: 'hit' | 'miss';
}

export interface TrafficPorts extends Omit<TrafficRulesPorts, 'busy'> {
  readonly newId: NewId;
  /** Cores that live requests may use. */
  readonly cores: number;
  readonly captureFolder: string | undefined;
  /** Where its owner says what is to be collected, and takes it from. */
  readonly collectFolder: string | undefined;
  /** Requests that wait for a worker, of all modules. */
  readonly pending: () => number;
}

interface CapturedModule {
  readonly module: LoadedHostedModule;
  readonly capture: Capture;
  /** Knows the files there are, and their sizes. */
  readonly writer: CaptureWriter;
}

export class TrafficControl {
  private readonly rules: TrafficRules;
  private readonly caches = new WeakMap<LoadedHostedModule, ResponseCache>();
  /** By name and version: what is loaded again goes on with its files. */
  private readonly captured = new Map<string, CapturedModule>();
  private readonly instance: string;
  /** Live requests under way; counted only while a shadow needs to know. */
  private liveRuns = 0;

  /** Undefined: nobody asks for what is collected. */
  readonly collecting: Collecting | undefined;

  constructor(private readonly ports: TrafficPorts) {
    this.instance = ports.newId();
    const { collectFolder: folder } = ports;
    this.collecting = folder === undefined ? undefined : new Collecting({ ...ports, folder, instance: this.instance });
    this.rules = new TrafficRules({ ...ports, busy: () => this.busy() });
  }

  /** @throws AppError `config.invalid`: what was in force stays */
  set(traffic: unknown): void {
    this.rules.set(traffic);
  }

  /** @throws AppError `score.not-ready` */
  pick(name: string, ready: readonly LoadedHostedModule[], headers: RequestHeaders): LoadedHostedModule | undefined {
    return this.rules.pick(name, ready, headers);
  }

  answer(module: LoadedHostedModule, call: ModelCall): Promise<HostAnswer> {
    const { scoring } = module.module;
    const capture = scoring?.capture && this.captureOf(module, scoring.capture);
    const collect = this.collecting?.of(module);
    if (!scoring?.cache && !capture && !collect && this.rules.shadows.length === 0) return module.answer(call);
    const keep = capture?.sample(call);
    const hand = collect?.sample(call);
    const answer = scoring?.cache ? this.answerOnce(module, call, scoring.cache) : this.run(module, call);
    if (!keep && !hand) return answer;
    return answer.then((given) => {
      keep?.(given);
      hand?.(given);
      return given;
    });
  }

  /** Whether this module's live requests may be copied, on a face that streams: see `mirrorScript`. */
  sampleScript(module: LoadedHostedModule, bytes: number, pinned: boolean, ask: () => Ask): Copying | undefined {
    return this.shadowFor(module, pinned)?.sample(bytes, module.signature, ask);
  }

  shadow(name: string): Shadow | undefined {
    return this.rules.shadowOf(name);
  }

  get shadows(): readonly Shadow[] {
    return this.rules.shadows;
  }

  /** What each module's capture did since it was loaded. */
  get captures(): readonly {
    readonly module: LoadedHostedModule;
    readonly captured: number;
    readonly dropped: number;
  }[] {
    return [...this.captured.values()].map(({ module, capture }) => ({ module, ...capture.counts }));
  }

  /**
   * Adds how each shadow compared since this was last asked: to the stats of its version, or, where that is not of this
   * host, to those of the version that answers.
   */
  withShadows(stats: readonly HostModuleStats[]): readonly HostModuleStats[] {
    const left = new Map<string, ShadowStats>();
    const outside = new Map<string, OutsideStats>();
    for (const shadow of this.rules.takeShadows()) {
      const { module, rule } = shadow;
      const key = `${module}\0${String(rule.version)}`;
      // One that was replaced comes first; its successor's turn is next time.
      if (rule.at === undefined && !left.has(key)) left.set(key, shadow.take());
      const { version } = rule;
      if (rule.at !== undefined && !outside.has(module))
        outside.set(module, { ...namesOf(rule.at), version, ...shadow.take() });
    }
    return stats.map((one) => {
      const shadow = left.get(`${one.name}\0${String(one.version)}`);
      const mirrored = outside.get(one.name);
      outside.delete(one.name);
      return { ...one, ...(shadow ? { shadow } : {}), ...(mirrored ? { mirrored } : {}) };
    });
  }

  async close(): Promise<void> {
    this.rules.close();
    await Promise.all([...[...this.captured.values()].map(({ capture }) => capture.close()), this.collecting?.close()]);
  }

  private async answerOnce(
    module: LoadedHostedModule,
    call: ModelCall,
    { maxBytes }: { readonly maxBytes: number },
  ): Promise<HostAnswer> {
    const { body, form, jsonLength } = call;
    if (body.length > maxCachedRequestBytes) return { ...(await this.run(module, call)), cache: 'miss' };
    let cache = this.caches.get(module);
    if (!cache) {
      cache = new ResponseCache(maxBytes);
      this.caches.set(module, cache);
    }
    const startedMs = this.ports.clock.monotonic();
    const { digest, name, version } = module.module;
    const bytes = new Uint8Array(body.buffer, body.start, body.length);
    const identity = identityOf({ digest, name, version, form, jsonLength }, bytes);
    const kept = cache.get(identity);
    module.statistics.cached(kept !== undefined, this.ports.clock.monotonic() - startedMs);
    if (kept) return { ...kept, cache: 'hit' };
    const answer = await this.run(module, call);
    cache.put(identity, answer);
    return { ...answer, cache: 'miss' };
  }

  private async run(module: LoadedHostedModule, call: ModelCall): Promise<EncodedResponse> {
    const copying = this.shadowFor(module, call.origin?.pinned ?? false)?.sample(
      call.body.length,
      module.signature,
      () => this.askOf(call),
    );
    const startedMs = this.ports.clock.monotonic();
    this.liveRuns += 1;
    try {
      const answer = await module.answer(call);
      copying?.answered(answer, this.ports.clock.monotonic() - startedMs);
      return answer;
    } catch (error) {
      copying?.failed(toProblem(error).code);
      throw error;
    } finally {
      this.liveRuns -= 1;
    }
  }

  /** Copies the bytes, which the live run takes away. */
  private askOf({ form, body, jsonLength, origin }: ModelCall): Ask {
    const copy = { ...body, buffer: body.buffer.slice(0) };
    return askShadow(
      { form, body: copy, jsonLength, headers: {}, requestId: origin?.requestId ?? 'shadow' },
      this.ports.clock,
    );
  }

  private shadowFor(module: LoadedHostedModule, pinned: boolean): Shadow | undefined {
    if (pinned) return undefined;
    const shadow = this.rules.shadowOf(module.name);
    const isItself = shadow?.rule.at === undefined && shadow?.rule.version === module.module.version;
    return isItself ? undefined : shadow;
  }

  private busy(): boolean {
    return this.ports.pending() > 0 || this.liveRuns >= this.ports.cores;
  }

  private captureOf(
    module: LoadedHostedModule,
    rule: { readonly rate: number; readonly maxBytes: number; readonly redact: readonly string[] },
  ): Capture | undefined {
    const { captureFolder } = this.ports;
    if (captureFolder === undefined) return undefined;
    const key = join(module.name, String(module.module.version));
    const before = this.captured.get(key);
    if (before?.module === module) return before.capture;
    void before?.capture.close();
    const options = { folder: captureFolder, scope: key, maxBytes: rule.maxBytes, instance: this.instance };
    const writer = before?.writer ?? new CaptureWriter({ ...options, maxBufferedBytes: maxBufferedCaptureBytes });
    const capture = new Capture(module, rule, linesInto(writer), this.ports);
    this.captured.set(key, { module, capture, writer });
    return capture;
  }
}

function linesInto(writer: CaptureWriter): CaptureSink {
  return {
    get dropped() {
      return writer.dropped;
    },
    drop: () => writer.drop(),
    take: (captured) => writer.add(captureFolderOf(captured), cloudEventLine(captured)),
    flush: () => writer.flush(),
  };
}

function namesOf({ digest, tag }: ShadowDoor): Pick<OutsideStats, 'digest' | 'tag'> {
  return { digest, ...(tag === undefined ? {} : { tag }) };
}
