/**
 * What one scoring host collects for its owner: by rules that the owner may change at any time, in a file, so that
 * nothing has to be started anew. Names that the module itself wants left out are left out beside the owner's.
 */
import { readFile, stat } from 'node:fs/promises';
import { setTimeout } from 'node:timers';
import { join } from 'node:path';
import { decodeMessage } from '#shared/protocol/decode.js';
import { collectRulesSchema, type CollectRules, type ModuleCollectRule } from '#shared/protocol/collect.js';
import type { LoadedHostedModule } from '../host/hosted-module.js';
import { Capture, type CapturePorts, type CaptureSink } from '../traffic/capture/capture.js';
import type { Captured, EventHead, Side } from '../traffic/capture/cloud-event.js';
import { bodyLine, type CollectedBody, tensorLine } from './collected-line.js';
import { rulesFile } from './piece-folder.js';
import { PieceWriter } from './piece-writer.js';

interface CollectedModule {
  readonly rule: ModuleCollectRule;
  readonly redact: readonly string[];
  readonly capture: Capture;
}

export interface CollectingPorts extends CapturePorts {
  readonly folder: string;
  /** Names the files of this process. */
  readonly instance: string;
}

const lookEveryMs = 500;
const maxRulesBytes = 4 * 1024 * 1024;

/** A request to a script that was chosen to be kept. */
export interface ScriptSample {
  /** Both were read to their end, or as far as is kept. */
  done(input: CollectedBody, output: CollectedBody): void;
}

export class Collecting {
  private readonly writer: PieceWriter;
  private rules: CollectRules['modules'] = {};
  private kept = new WeakMap<LoadedHostedModule, CollectedModule>();
  /** By name and version: what is loaded again takes the place of what was. */
  private readonly captures = new Map<string, Capture>();
  private timer: NodeJS.Timeout | undefined;
  private version = '';
  private closed = false;

  constructor(private readonly ports: CollectingPorts) {
    const instance = ports.instance
      .toLowerCase()
      .replace(/[^a-z0-9-]/g, '-')
      .slice(0, 64);
    this.writer = new PieceWriter({ folder: ports.folder, instance, clock: ports.clock });
    void this.follow();
  }

  /** Undefined: nothing of it is collected. */
  of(module: LoadedHostedModule): Capture | undefined {
    return this.collectedOf(module)?.capture;
  }

  /** Of a module with a script; undefined: this request is not kept. */
  sampleScript(module: LoadedHostedModule, requestId: string): ScriptSample | undefined {
    const collected = this.collectedOf(module);
    if (collected === undefined || this.ports.random() >= collected.rule.rate) return undefined;
    const redact = new Set(collected.redact);
    return {
      done: (input, output) => {
        const atMs = this.ports.clock.now();
        for (const [side, body] of [['inputs', input] as const, ['outputs', output] as const]) {
          const head = this.headOf(module, side, { atMs, requestId, source: collected.rule.source });
          this.add(collected.rule, head, () => bodyLine(head, body, redact, collected.rule.maxLineBytes));
        }
      },
    };
  }

  /** Lines that were written or will be are not counted. */
  get dropped(): number {
    return this.writer.dropped;
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await Promise.all([...this.captures.values()].map((capture) => capture.close()));
    await this.writer.close();
  }

  private collectedOf(module: LoadedHostedModule): CollectedModule | undefined {
    const { name } = module.module;
    const rule = Object.hasOwn(this.rules, name) ? this.rules[name] : undefined;
    if (rule === undefined) return undefined;
    const before = this.kept.get(module);
    if (before?.rule === rule) return before;
    const redact = [...rule.redact, ...(module.module.scoring?.capture?.redact ?? [])];
    const capture = new Capture(module, { rate: rule.rate, redact }, this.sinkOf(rule), this.ports);
    this.captures.set(`${name}:${String(module.module.version)}`, capture);
    const collected = { rule, redact, capture };
    this.kept.set(module, collected);
    return collected;
  }

  private sinkOf(rule: ModuleCollectRule): CaptureSink {
    const { writer } = this;
    return {
      get dropped() {
        return writer.dropped;
      },
      drop: () => writer.drop(),
      take: (captured: Captured) => {
        const { tensors } = captured;
        const head = { ...captured, source: rule.source };
        this.add(rule, head, () => tensorLine(head, tensors, rule.maxLineBytes));
      },
      flush: () => Promise.resolve(),
    };
  }

  private add(rule: ModuleCollectRule, { side, model, atMs }: EventHead, line: () => string | undefined): void {
    const collection = `model_${side}` as const;
    if (!rule.collections.includes(collection)) return;
    // Turned off, or changed, since it was sampled: what was to be left out then may not be what is now.
    if (this.rules[model] !== rule) return;
    const text = line();
    if (text === undefined) this.writer.drop();
    else this.writer.add({ module: model, collection, atMs, line: text, ...rule });
  }

  private headOf(
    module: LoadedHostedModule,
    side: Side,
    of: Pick<EventHead, 'atMs' | 'requestId' | 'source'>,
  ): EventHead {
    const { name: model, version, digest } = module.module;
    return { id: this.ports.newId(), side, model, version, digest, ...of };
  }

  private async follow(): Promise<void> {
    await this.look();
    if (!this.closed) this.timer = setTimeout(() => void this.follow(), lookEveryMs).unref();
  }

  /** Rules that cannot be read collect nothing: they may be those that leave something out. */
  private async look(): Promise<void> {
    const path = join(this.ports.folder, rulesFile);
    const found = await stat(path).catch(() => undefined);
    const version = found === undefined ? '' : `${String(found.mtimeMs)} ${String(found.ino)} ${String(found.size)}`;
    if (version === this.version) return;
    this.version = version;
    const bytes = found === undefined ? undefined : await readFile(path).catch(() => undefined);
    const read = bytes === undefined ? undefined : decodeMessage(collectRulesSchema, bytes, maxRulesBytes);
    this.rules = read?.ok === true ? read.value.modules : {};
    this.kept = new WeakMap();
    // What they hold is written or dropped by itself.
    this.captures.clear();
  }
}
