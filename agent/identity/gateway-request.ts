/** One request to the device gateway, over a connection that was verified before anything is sent. */
import { request } from 'node:http';
import type * as z from 'zod';
import { AppError, isErrorCode, messageOf } from '#shared/kernel/errors.js';
import { decodeJson, decodeMessage, maxMessageBytes } from '#shared/protocol/decode.js';
import { problemSchema } from '#shared/protocol/primitives.js';
import type { ProxySettings } from '#agent/link/proxy-choice.js';
import { secureConnect, type SecureTarget } from '#agent/link/secure-connect.js';

export interface Gateway extends SecureTarget {
  readonly proxy: ProxySettings;
  /** For connecting, and again for the answer. */
  readonly timeoutMs: number;
}

const timeoutMs = 15_000;

/** Where it is; whom to expect there is for the caller to say. */
export function gatewayAt(url: URL, proxy: ProxySettings): Omit<Gateway, 'expected'> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return { host, port: url.port === '' ? 443 : Number(url.port), proxy, timeoutMs };
}

/** @throws AppError `server.unreachable`, `server.untrusted`, and what the server answers, with its `status` in the details */
export async function postToGateway<T>(
  gateway: Gateway,
  path: string,
  body: unknown,
  schema: z.ZodType<T>,
): Promise<T> {
  const { expected, proxy, timeoutMs } = gateway;
  const socket = await secureConnect({ ...gateway, alpn: ['http/1.1'] }, proxy, { timeoutMs });
  const text = JSON.stringify(body);
  const where = `${gateway.host}:${String(gateway.port)}`;
  return new Promise((resolve, reject) => {
    const unreachable = (cause: unknown): void =>
      reject(
        new AppError('server.unreachable', `the control plane at ${where} did not answer: ${messageOf(cause)}`, {
          cause,
        }),
      );
    const sent = request(
      {
        createConnection: () => socket,
        path,
        method: 'POST',
        timeout: timeoutMs,
        headers: {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(text),
          host: expected.name,
          connection: 'close',
        },
      },
      (response) => {
        const parts: Buffer[] = [];
        let bytes = 0;
        response.on('data', (part: Buffer) => {
          bytes += part.length;
          if (bytes > maxMessageBytes) sent.destroy(new Error('the answer is too large'));
          else parts.push(part);
        });
        response.on('error', unreachable);
        response.on('end', () => {
          try {
            resolve(readAnswer(response.statusCode ?? 0, Buffer.concat(parts), where, schema));
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        });
      },
    );
    sent.on('timeout', () => sent.destroy(new Error('no answer in time')));
    sent.on('error', unreachable);
    sent.end(text);
  });
}

function readAnswer<T>(status: number, bytes: Buffer, where: string, schema: z.ZodType<T>): T {
  if (status >= 200 && status < 300) {
    const answer = decodeMessage(schema, bytes);
    if (answer.ok) return answer.value;
    throw new AppError('server.unreachable', `what answers at ${where} is no device gateway: ${answer.error.message}`);
  }
  const json = decodeJson(bytes);
  const problem = json.ok ? problemSchema.safeParse(json.value) : undefined;
  if (problem?.success !== true || !isErrorCode(problem.data.code)) {
    throw new AppError(
      'server.unreachable',
      `what answers at ${where} is no device gateway (HTTP status ${String(status)})`,
    );
  }
  const { code, message, details } = problem.data;
  throw new AppError(code, message, { details: { ...details, status } });
}
