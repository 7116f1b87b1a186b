/**
 * How a control plane speaks to the service host: JSON over HTTP on a Unix socket that only its own user may open, in
 * a folder that only that user may enter.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import * as z from 'zod';
import { AppError, toProblem } from '#shared/kernel/errors.js';
import { readBounded } from '#shared/platform/bounded-body.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import type { Family } from '#shared/platform/exposition.js';
import { listenPrivately } from '#shared/scoring/private-socket.js';
import { desiredServicesSchema } from '../desired-services.js';
import { type About, maxDocumentBytes, maxLogLines, takenSchema } from './control-protocol.js';
import type { CollectedData } from './collected-data.js';
import { telemetryAskedSchema, type TelemetryTeller } from '../services-telemetry.js';
import { keyOf } from './observed.js';
import type { ServiceHost } from './service-host.js';
import { handedTrustSchema } from './services-trust.js';

export interface ControlFace {
  readonly host: Pick<ServiceHost, 'apply' | 'trust' | 'status' | 'logs' | 'plan'> & {
    readonly telemetry: TelemetryTeller;
  };
  readonly collected: Pick<CollectedData, 'list' | 'taken'>;
  readonly about: () => About;
  /** For Prometheus. */
  readonly families: () => Family[];
  /** Answered before it is done. */
  readonly stop: () => void;
  readonly onBug: (error: unknown) => void;
}

export interface ControlApi {
  close(): void;
}

export async function openControlApi(socket: string, face: ControlFace): Promise<ControlApi> {
  const server = createServer({ requestTimeout: 30_000 }, (request, response) => {
    respond(request, response, face).catch((error: unknown) => {
      face.onBug(error);
      response.destroy();
    });
  });
  const listening = await listenPrivately(server, socket);
  return {
    close: () => {
      listening.remove();
      server.close();
      server.closeAllConnections();
    },
  };
}

async function respond(request: IncomingMessage, response: ServerResponse, face: ControlFace): Promise<void> {
  try {
    send(response, 200, await answer(request, face));
  } catch (error) {
    if (!(error instanceof AppError)) face.onBug(error);
    send(response, error instanceof AppError ? error.traits.status : 500, toProblem(error));
  }
}

const logsQuery = z.strictObject({
  endpoint: z.string().min(1).max(64),
  deployment: z.string().min(1).max(64),
  lines: z.coerce.number<string>().int().min(1).max(maxLogLines).default(100),
});

const base = 'http://service-host';

async function answer(
  request: IncomingMessage,
  { host, collected, about, stop, families }: ControlFace,
): Promise<unknown> {
  const { method = '', url: target = '/' } = request;
  const url = URL.canParse(target, base) ? new URL(target, base) : new URL(base);
  switch (`${method} ${url.pathname}`) {
    case 'GET /v1/about':
      return about();
    case 'GET /v1/metrics':
      return { families: families() };
    case 'GET /v1/status':
      return host.status();
    case 'GET /v1/plan':
      return host.plan;
    case 'GET /v1/logs': {
      const query = logsQuery.safeParse(Object.fromEntries(url.searchParams));
      if (!query.success) throw new AppError('request.invalid', `logs: ${z.prettifyError(query.error)}`);
      return { lines: host.logs.read(keyOf(query.data), query.data.lines) };
    }
    case 'PUT /v1/desired':
      await host.apply(await bodyOf(request, desiredServicesSchema, 'the document'));
      return {};
    case 'PUT /v1/trust':
      return host.trust(await bodyOf(request, handedTrustSchema, 'the trust'));
    case 'GET /v1/collected':
      return collected.list();
    case 'POST /v1/collected/taken':
      await collected.taken((await bodyOf(request, takenSchema, 'what was taken')).taken);
      return {};
    case 'POST /v1/telemetry': {
      const { acknowledged } = await bodyOf(request, telemetryAskedSchema, 'what is stored');
      return { batches: await host.telemetry.telemetry(acknowledged) };
    }
    case 'POST /v1/stop':
      setImmediate(stop);
      return {};
    default:
      throw new AppError('request.not-found', `the service host has no ${method} ${url.pathname}`);
  }
}

async function bodyOf<S extends z.ZodType>(request: IncomingMessage, schema: S, what: string): Promise<z.output<S>> {
  const tooLarge = (): AppError =>
    new AppError('request.too-large', `${what} has more than ${String(maxDocumentBytes)} bytes`);
  const decoded = decodeMessage(schema, await readBounded(request, maxDocumentBytes, tooLarge), maxDocumentBytes);
  if (!decoded.ok) throw new AppError('request.invalid', `${what} is refused: ${decoded.error.message}`);
  return decoded.value;
}

function send(response: ServerResponse, status: number, body: unknown): void {
  if (response.destroyed) return;
  // What was not read of a refused body is not waited for.
  const headers = { 'content-type': 'application/json', ...(status === 200 ? {} : { connection: 'close' }) };
  response.writeHead(status, headers).end(JSON.stringify(body));
}
