/**
 * To the cloud, over the spool: each value as an event of the device, or the numbers in it with the telemetry of
 * the interval. No faster than the route says, and no larger than a batch of events takes.
 */
import type { DeviceEvent } from '#shared/protocol/stream.js';
import { joinSummaries, type ValueSummary } from '#shared/protocol/route-metrics.js';
import type { Payload } from '../payload.js';
import { answerValue } from './answer-value.js';
import { numbersIn } from './numbers-in.js';
import { RateBudget } from './rate-budget.js';
import { type Sent, sent, type Target } from './target.js';

export interface CloudPorts {
  readonly module: string;
  readonly output: string;
  readonly maxPerMinute: number;
  readonly raise: (event: Omit<DeviceEvent, 'at'>) => void;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** Of one answer in an event. */
export const maxEventBytes = 16 * 1024;
/** Of one answer whose numbers are looked for. */
const maxTelemetryBytes = 64 * 1024;

const tooMany: Sent = { kind: 'lost', reason: 'rate', message: 'more a minute than the route lets through' };

export class EventTarget implements Target {
  private readonly rate: RateBudget;

  constructor(private readonly ports: CloudPorts) {
    this.rate = new RateBudget(ports.maxPerMinute, ports.now());
  }

  send(payload: Payload): Promise<Sent> {
    const { module, output, raise, now } = this.ports;
    if (payload.bytes.length > maxEventBytes) return Promise.resolve(tooLarge(payload, maxEventBytes));
    if (!this.rate.take(now())) return Promise.resolve(tooMany);
    const { source } = payload;
    const details = { output, ...(source === undefined ? {} : { source }), ...answerValue(payload) };
    const text = payload.json ? payload.bytes.toString('utf8') : `${String(payload.bytes.length)} bytes`;
    raise({ level: 'info', type: 'module.output', module, message: `${output}: ${text.slice(0, 500)}`, details });
    return Promise.resolve(sent);
  }
}

export class TelemetryTarget implements Target {
  private readonly rate: RateBudget;
  private values = new Map<string, ValueSummary>();

  constructor(private readonly ports: CloudPorts) {
    this.rate = new RateBudget(ports.maxPerMinute, ports.now());
  }

  send(payload: Payload): Promise<Sent> {
    if (payload.bytes.length > maxTelemetryBytes) return Promise.resolve(tooLarge(payload, maxTelemetryBytes));
    if (!this.rate.take(this.ports.now())) return Promise.resolve(tooMany);
    const answer = answerValue(payload);
    const numbers = 'value' in answer ? numbersIn(answer.value) : [];
    if (numbers.length === 0) {
      const message = 'there is no number in it: telemetry takes objects with numbers';
      return Promise.resolve({ kind: 'lost', reason: 'undecodable', message });
    }
    for (const [path, value] of numbers) {
      const one = { count: 1, sum: value, min: value, max: value, last: value };
      const before = this.values.get(path);
      this.values.set(path, before === undefined ? one : joinSummaries(before, one));
    }
    return Promise.resolve(sent);
  }

  takeValues(): Readonly<Record<string, ValueSummary>> | undefined {
    if (this.values.size === 0) return undefined;
    const taken = Object.fromEntries(this.values);
    this.values = new Map();
    return taken;
  }
}

function tooLarge({ bytes }: Payload, most: number): Sent {
  const message = `an answer of ${String(bytes.length)} bytes is more than the ${String(most)} that go to the cloud`;
  return { kind: 'lost', reason: 'too-large', message };
}
