/** To an input of another module of the device, whose answer goes on from there. */
import { type Asked, askModule, type ScoringAddress } from '../ask-module.js';
import { encodeInput, type InputOf } from '../encode-input.js';
import { maxCrashes } from '../inward-route.js';
import { RouteFault, type Payload } from '../payload.js';
import { type Sent, sent, type Target } from './target.js';

export interface ModuleTargetPorts {
  readonly module: string;
  readonly input: string;
  readonly scoring: ScoringAddress;
  readonly maxAnswerBytes: number;
  /** Undefined while there is no such module. */
  readonly inputOf: () => Promise<InputOf | undefined>;
  readonly onAnswer: (module: string, payload: Payload, signal: AbortSignal) => Promise<void>;
}

export class ModuleTarget implements Target {
  private crashes = 0;

  constructor(private readonly ports: ModuleTargetPorts) {}

  async send(payload: Payload, signal: AbortSignal): Promise<Sent> {
    const { module } = this.ports;
    const to = await this.ports.inputOf();
    if (to === undefined) {
      return { kind: 'lost', reason: 'no-module', message: `no module ${module} answers on this device` };
    }
    const asked = await this.ask(payload, to, signal);
    if (asked.kind === 'answered') {
      this.crashes = 0;
      for (const answer of asked.payloads) await this.ports.onAnswer(module, answer, signal);
      return sent;
    }
    if (asked.kind === 'lost') return asked;
    if (asked.begun) this.crashes += 1;
    if (this.crashes < maxCrashes) return { kind: 'later', message: asked.message };
    this.crashes = 0;
    return { kind: 'lost', reason: 'failed', message: `what answers ended over it: ${asked.message}` };
  }

  private async ask(payload: Payload, to: InputOf, signal: AbortSignal): Promise<Asked> {
    const { input, scoring, maxAnswerBytes } = this.ports;
    if (!payload.json && to.flavor === 'onnx') {
      return {
        kind: 'lost',
        reason: 'undecodable',
        message: `module ${to.module} takes V2 requests in JSON, not bytes`,
      };
    }
    try {
      const request = await encodeInput(payload.bytes, payload.json ? 'json' : 'bytes', to);
      return await askModule(scoring, { request, input, source: payload.source, maxAnswerBytes }, signal);
    } catch (error) {
      if (!(error instanceof RouteFault)) throw error;
      return { kind: 'lost', reason: error.reason, message: error.message };
    }
  }
}
