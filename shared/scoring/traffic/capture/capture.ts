/**
 * Samples what one version of a module is asked and answers. On the way of a request it only copies bytes;
 * they are read, redacted and written when the process has nothing better to do, and dropped when too
 * many wait.
 */
import { setImmediate, setTimeout } from 'node:timers';
import type { Clock } from '#shared/kernel/clock.js';
import type { NewId } from '#shared/kernel/ids.js';
import type { EncodedResponse } from '../../codec/infer-response.js';
import type { ModelCall } from '../../engine/model-call.js';
import type { LoadedHostedModule } from '../../host/hosted-module.js';
import { answerTensors, type CapturedTensor, type CaptureOptions, requestTensors } from './captured-tensors.js';
import type { Captured, Side } from './cloud-event.js';

const flushAfterMs = 500;
const maxWaitingBytes = 16 * 1024 * 1024;

/** Where samples go once they were read. */
export interface CaptureSink {
  readonly dropped: number;
  drop(): void;
  take(captured: Captured): void;
  /** Never rejects. */
  flush(): Promise<void>;
}

export interface CapturePorts {
  readonly clock: Clock;
  readonly newId: NewId;
  readonly random: () => number;
}

interface Sample {
  readonly request: Uint8Array<ArrayBuffer>;
  readonly requestJsonLength: number | undefined;
  readonly answer: EncodedResponse;
  readonly requestId: string;
  readonly atMs: number;
}

export class Capture {
  private readonly waiting: Sample[] = [];
  private waitingBytes = 0;
  private working = false;
  private flushing = false;
  private written = 0;

  constructor(
    private readonly module: LoadedHostedModule,
    private readonly rule: { readonly rate: number; readonly redact: readonly string[] },
    private readonly sink: CaptureSink,
    private readonly ports: CapturePorts,
  ) {}

  /** @returns what to do with the answer; undefined where this request is not sampled */
  sample(call: ModelCall): ((answer: EncodedResponse) => void) | undefined {
    if (this.ports.random() >= this.rule.rate) return undefined;
    const { body, jsonLength } = call;
    if (this.waitingBytes + body.length > maxWaitingBytes) {
      this.sink.drop();
      return undefined;
    }
    // The run takes the buffer away.
    const request = new Uint8Array(body.buffer, body.start, body.length).slice();
    const requestId = call.origin?.requestId ?? this.ports.newId();
    return (answer) => {
      const sample = { request, requestJsonLength: jsonLength, answer, requestId, atMs: this.ports.clock.now() };
      this.waitingBytes += sizeOf(sample);
      this.waiting.push(sample);
      this.work();
    };
  }

  /** Events written or about to be, and dropped. */
  get counts(): { readonly captured: number; readonly dropped: number } {
    return { captured: this.written, dropped: this.sink.dropped };
  }

  /** Writes what waits. */
  async close(): Promise<void> {
    for (let sample = this.waiting.shift(); sample; sample = this.waiting.shift()) this.encode(sample);
    await this.sink.flush();
  }

  /** One sample a turn of the event loop. */
  private work(): void {
    if (this.working) return;
    this.working = true;
    setImmediate(() => {
      this.working = false;
      const sample = this.waiting.shift();
      if (sample) this.encode(sample);
      if (this.waiting.length > 0) this.work();
    });
  }

  private encode(sample: Sample): void {
    this.waitingBytes -= sizeOf(sample);
    const options: CaptureOptions = { redact: new Set(this.rule.redact), signature: this.module.signature };
    try {
      const { request: body, requestJsonLength: jsonLength, answer } = sample;
      this.write(sample, 'inputs', requestTensors({ body, jsonLength }, options));
      this.write(sample, 'outputs', answerTensors({ body: answer.body, jsonLength: answer.jsonLength }, options));
    } catch {
      // What cannot be read is never written as it came: it may hold what is to be left out.
      this.sink.drop();
    }
    this.flushSoon();
  }

  private write({ requestId, atMs }: Sample, side: Side, tensors: readonly CapturedTensor[]): void {
    const { name: model, version, digest } = this.module.module;
    this.sink.take({ id: this.ports.newId(), atMs, side, model, version, digest, requestId, tensors });
    this.written += 1;
  }

  private flushSoon(): void {
    if (this.flushing) return;
    this.flushing = true;
    setTimeout(() => {
      this.flushing = false;
      void this.sink.flush();
    }, flushAfterMs).unref();
  }
}

function sizeOf({ request, answer }: Sample): number {
  return request.length + answer.body.length;
}
