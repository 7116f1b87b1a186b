/**
 * Direct commands: verified, judged by their deadline, run at most once, answered by the deadline.
 * A command that cannot be verified is not answered: whoever sent it is not the director.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { AppError, type Problem, toProblem } from '#shared/kernel/errors.js';
import { verifyEnvelope } from '#shared/package/dsse.js';
import {
  type CommandRequest,
  commandRequestSchema,
  type CommandResponse,
  type Operation,
  type OperationArguments,
  type OperationResult,
  operations,
} from '#shared/protocol/commands.js';
import { decodeMessage, maxMessageBytes } from '#shared/protocol/decode.js';
import { envelopeSchema, payloadTypes } from '#shared/protocol/envelope.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { CommandJournal } from '#agent/commands/command-journal.js';

/** One executor an operation; a new operation does not compile without one. */
export type OperationExecutors = {
  readonly [O in Operation]: (args: OperationArguments<O>, signal: AbortSignal) => Promise<OperationResult<O>>;
};

/** The largest answer that fits a message with room for its frame. */
export const maxResultBytes = 96 * 1024;

export interface CommandPorts {
  readonly clock: Clock;
  readonly address: DeviceAddress;
  /** Asked for each command. */
  readonly directors: () => readonly string[];
  readonly journal: Pick<CommandJournal, 'look' | 'begin' | 'answer'>;
  readonly executors: OperationExecutors;
  readonly respond: (response: CommandResponse) => Promise<boolean>;
  /** Lower bound of the true time, milliseconds since the epoch. */
  readonly trustedNow: () => number;
  /** A signed issue time was verified. */
  readonly onSignedTime: (issuedAtMs: number) => void;
  readonly onRefused: (id: string, problem: Problem) => void;
  readonly onError: (error: unknown) => void;
}

export class CommandRunner {
  private readonly running = new Map<string, Promise<void>>();
  private readonly stopping = new AbortController();

  constructor(private readonly ports: CommandPorts) {}

  receive(id: string, payload: Uint8Array): void {
    const request = this.verify(id, payload);
    if (request === undefined || this.running.has(id) || this.stopping.signal.aborted) return;
    const run = this.run(request)
      .catch(this.ports.onError)
      .finally(() => this.running.delete(id));
    this.running.set(id, run);
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.running.values());
  }

  private verify(id: string, payload: Uint8Array): CommandRequest | undefined {
    const { ports } = this;
    const refuse = (problem: Problem): undefined => {
      ports.onRefused(id, problem);
      return undefined;
    };
    const envelope = decodeMessage(envelopeSchema, payload);
    if (!envelope.ok) return refuse(envelope.error);
    const verified = verifyEnvelope(envelope.value, payloadTypes.command, ports.directors());
    if (!verified.ok) return refuse(verified.error);
    const request = decodeMessage(commandRequestSchema, verified.value.payload, maxMessageBytes);
    if (!request.ok) return refuse(request.error);
    const { workspace, device } = request.value;
    if (workspace !== ports.address.workspace || device !== ports.address.device || request.value.id !== id) {
      return refuse({
        code: 'desired.wrong-device',
        message: `the command is for ${workspace}/${device}, id ${request.value.id}`,
      });
    }
    ports.onSignedTime(Date.parse(request.value.issuedAt));
    return request.value;
  }

  private async run(request: CommandRequest): Promise<void> {
    const { journal, respond, trustedNow, onRefused } = this.ports;
    const known = journal.look(request.id);
    if (known.kind === 'answered') {
      await respond(known.response);
      return;
    }
    const leftMs = Date.parse(request.deadline) - trustedNow();
    if (leftMs <= 0) {
      onRefused(request.id, { code: 'command.expired', message: `its deadline ${request.deadline} has passed` });
      return;
    }
    const response: CommandResponse =
      known.kind === 'begun'
        ? failed(request.id, {
            code: 'process.failed',
            message: 'the agent was restarted while this command ran; whether it took effect is not known',
          })
        : await this.execute(request, leftMs);
    try {
      if (!operations[request.operation].reads) await journal.answer(response);
    } catch (error) {
      // What it did is done: better an answer that a restart forgets than none.
      if (!(error instanceof AppError)) throw error;
      this.ports.onError(error);
    }
    if (Date.parse(request.deadline) > trustedNow()) await respond(response);
  }

  private async execute(request: CommandRequest, leftMs: number): Promise<CommandResponse> {
    try {
      if (!operations[request.operation].reads) await this.ports.journal.begin(request.id, request);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return failed(request.id, toProblem(error));
    }
    const timeUp = new AbortController();
    const end = new AbortController();
    const timer = this.ports.clock.sleep(Math.min(leftMs, 2 ** 31 - 1), end.signal).then(() => timeUp.abort());
    try {
      const signal = AbortSignal.any([timeUp.signal, this.stopping.signal]);
      const result = await this.dispatch(request, signal);
      const bytes = Buffer.byteLength(JSON.stringify(result));
      if (bytes > maxResultBytes) {
        throw new AppError(
          'message.too-large',
          `the answer has ${String(bytes)} bytes, and a command's answer at most ${String(maxResultBytes)}: ask for less, or ask the device's own HTTP port`,
        );
      }
      return { schema: 1, id: request.id, outcome: { kind: 'done', result: toJson(result) } };
    } catch (error) {
      if (!(error instanceof AppError)) this.ports.onError(error);
      return failed(request.id, toProblem(error));
    } finally {
      end.abort();
      await timer;
    }
  }

  private dispatch(request: CommandRequest, signal: AbortSignal): Promise<OperationResult<Operation>> {
    const { executors } = this.ports;
    switch (request.operation) {
      case 'ping':
        return executors.ping(request.arguments, signal);
      case 'score':
        return executors.score(request.arguments, signal);
      case 'logs':
        return executors.logs(request.arguments, signal);
      case 'restart':
        return executors.restart(request.arguments, signal);
      case 'refresh':
        return executors.refresh(request.arguments, signal);
      case 'explain':
        return executors.explain(request.arguments, signal);
      case 'check':
        return executors.check(request.arguments, signal);
      case 'bundle':
        return executors.bundle(request.arguments, signal);
      case 'bundle-read':
        return executors['bundle-read'](request.arguments, signal);
    }
  }
}

type Json = Extract<CommandResponse['outcome'], { kind: 'done' }>['result'];

function toJson(result: OperationResult<Operation>): Json {
  return JSON.parse(JSON.stringify(result)) as Json;
}

function failed(id: string, problem: Problem): CommandResponse {
  return {
    schema: 1,
    id,
    outcome: {
      kind: 'failed',
      problem: { ...problem, ...(problem.details ? { details: { ...problem.details } } : {}) },
    },
  };
}
