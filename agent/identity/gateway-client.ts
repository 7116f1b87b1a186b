/** HTTPS to the device gateway, verified as secure-connect.ts says before a byte of ours leaves. */
import { request } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { AppError, isErrorCode, messageOf } from '#shared/kernel/errors.js';
import { decodeJson, maxMessageBytes } from '#shared/protocol/decode.js';
import { problemSchema } from '#shared/protocol/primitives.js';
import type { ProxySettings } from '#agent/link/proxy-choice.js';
import { secureConnect, type SecureTarget } from '#agent/link/secure-connect.js';

export interface GatewayAnswer {
  readonly status: number;
  readonly value: unknown;
}

export const gatewayTimeoutMs = 15_000;

/** @throws AppError `server.unreachable`, `server.untrusted`, or what the server's refusal says */
export async function callGateway(
  target: SecureTarget,
  proxy: ProxySettings,
  path: string,
  body: unknown,
): Promise<GatewayAnswer> {
  const where = `${target.host}:${String(target.port)}`;
  const socket = await secureConnect(target, proxy, { timeoutMs: gatewayTimeoutMs });
  try {
    const { status, bytes } = await post(socket, target.expected.name, path, JSON.stringify(body), where);
    return readAnswer(status, bytes, where);
  } finally {
    socket.destroy();
  }
}

/** Of the gateway's URL. */
export function gatewayServer(url: URL): { readonly host: string; readonly port: number } {
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port === '' ? 443 : Number(url.port) };
}

/** What answers there, but not as a gateway does. */
export function noGateway(where: string, why: string): AppError {
  return new AppError('server.unreachable', `what answers at ${where} is no device gateway: ${why}`);
}

function post(
  socket: TLSSocket,
  host: string,
  path: string,
  text: string,
  where: string,
): Promise<{ status: number; bytes: Buffer }> {
  return new Promise((resolve, reject) => {
    const unreachable = (cause: unknown): void =>
      reject(
        new AppError('server.unreachable', `the control plane at ${where} did not answer: ${messageOf(cause)}`, {
          cause,
        }),
      );
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), host };
    const sent = request(
      { createConnection: () => socket, path, method: 'POST', timeout: gatewayTimeoutMs, headers },
      (response) => {
        const parts: Buffer[] = [];
        let bytes = 0;
        response.on('data', (part: Buffer) => {
          bytes += part.length;
          if (bytes > maxMessageBytes) sent.destroy(new Error('the answer is too large'));
          else parts.push(part);
        });
        response.on('error', unreachable);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, bytes: Buffer.concat(parts) }));
      },
    );
    sent.on('timeout', () => sent.destroy(new Error('no answer in time')));
    sent.on('error', unreachable);
    sent.end(text);
  });
}

function readAnswer(status: number, bytes: Buffer, where: string): GatewayAnswer {
  const json = decodeJson(bytes);
  if (status >= 200 && status < 300) {
    if (json.ok) return { status, value: json.value };
    throw noGateway(where, json.error.message);
  }
  const problem = json.ok ? problemSchema.safeParse(json.value) : undefined;
  if (problem?.success !== true || !isErrorCode(problem.data.code)) {
    throw noGateway(where, `HTTP status ${String(status)}`);
  }
  const { code, message, details } = problem.data;
  throw new AppError(code, message, { details: { ...details, status } });
}
