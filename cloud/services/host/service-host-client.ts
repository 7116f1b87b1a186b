/** The control plane's end of a service host's private socket. */
import * as z from 'zod';
import { AppError, isErrorCode, messageOf } from '#shared/kernel/errors.js';
import { askSocket, type SocketAnswer } from '#shared/platform/ask-socket.js';
import type { Family } from '#shared/platform/exposition.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import { problemSchema } from '#shared/protocol/primitives.js';
import type { DesiredServices } from '../desired-services.js';
import { type Acknowledged, type TelemetryTeller, telemetryToldSchema, type ToldBatch } from '../services-telemetry.js';
import { type ServiceHostPort, type ServicesStatus, servicesStatusSchema } from '../services-status.js';
import {
  type About,
  aboutSchema,
  collectedSchema,
  familiesSchema,
  logLinesSchema,
  maxDocumentBytes,
  maxLogLines,
  type PieceKey,
  refusedSchema,
} from './control-protocol.js';
import type { HandedTrust } from './services-trust.js';

const timeoutMs = 10_000;

/** Every call throws AppError `service.unavailable` when nobody answers, and what the service host refuses with. */
export class ServiceHostClient implements ServiceHostPort, TelemetryTeller {
  /** @param socket its path, as it is now */
  constructor(private readonly socket: () => string) {}

  about(): Promise<About> {
    return this.ask('GET', '/v1/about', aboutSchema);
  }

  async apply(desired: DesiredServices): Promise<void> {
    await this.ask('PUT', '/v1/desired', z.unknown(), desired);
  }

  /** @returns why some of it does not count */
  async trust(handed: HandedTrust): Promise<readonly string[]> {
    return (await this.ask('PUT', '/v1/trust', refusedSchema, handed)).refused;
  }

  status(): Promise<ServicesStatus> {
    return this.ask('GET', '/v1/status', servicesStatusSchema);
  }

  async logs(endpoint: string, deployment: string, lines: number): Promise<string[]> {
    const query = new URLSearchParams({ endpoint, deployment, lines: String(Math.min(lines, maxLogLines)) });
    return (await this.ask('GET', `/v1/logs?${query.toString()}`, logLinesSchema)).lines;
  }

  /** Pieces of what replicas collected, the oldest first; none: there are no more. */
  collected(): Promise<z.infer<typeof collectedSchema>> {
    return this.ask('GET', '/v1/collected', collectedSchema);
  }

  /** They are stored: there they may go. */
  async taken(taken: readonly PieceKey[]): Promise<void> {
    await this.ask('POST', '/v1/collected/taken', z.unknown(), { taken });
  }

  /** Numbers of deployments that are not acknowledged yet. */
  async telemetry(acknowledged: readonly Acknowledged[]): Promise<readonly ToldBatch[]> {
    return (await this.ask('POST', '/v1/telemetry', telemetryToldSchema, { acknowledged })).batches;
  }

  /** What its front counts, for Prometheus. */
  async families(): Promise<readonly Family[]> {
    return (await this.ask('GET', '/v1/metrics', familiesSchema)).families;
  }

  /** It has begun to end when this resolves. */
  async stop(): Promise<void> {
    await this.ask('POST', '/v1/stop', z.unknown());
  }

  private async ask<S extends z.ZodType>(
    method: string,
    path: string,
    schema: S,
    body?: unknown,
  ): Promise<z.output<S>> {
    const { status, bytes } = await this.exchange(method, path, body);
    if (status !== 200) throw refusalOf(bytes, status);
    const decoded = decodeMessage(schema, bytes, maxDocumentBytes);
    if (decoded.ok) return decoded.value;
    throw new AppError(
      'service.unavailable',
      `the service host answers ${method} ${path} in a way that this control plane does not understand: ${decoded.error.message}`,
    );
  }

  private async exchange(method: string, path: string, body: unknown): Promise<SocketAnswer> {
    const socketPath = this.socket();
    try {
      return await askSocket({ socketPath, method, path, body, timeoutMs, maxBytes: maxDocumentBytes });
    } catch (error) {
      const message = `the service host does not answer on ${socketPath}: ${messageOf(error)}`;
      throw new AppError('service.unavailable', message, { cause: error });
    }
  }
}

function refusalOf(bytes: Uint8Array, status: number): AppError {
  const problem = decodeMessage(problemSchema, bytes);
  if (problem.ok && isErrorCode(problem.value.code)) {
    const { code, message, details = {} } = problem.value;
    return new AppError(code, message, { details });
  }
  return new AppError('service.unavailable', `the service host answered with status ${String(status)}`);
}
