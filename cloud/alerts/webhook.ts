/**
 * One notice to one webhook, signed as Standard Webhooks has it (https://www.standardwebhooks.com): receivers check it
 * with a library of their language. Redirects are not followed, and of the answer only the status is looked at.
 */
import { createHmac } from 'node:crypto';
import type { Notice } from './alert-notice.js';
import type { Destination } from './destinations.js';

const timeoutMs = 10_000;

/** @returns undefined when it was taken, else why not, without the address, which may be a secret */
export async function sendWebhook(
  { url, secret }: Destination,
  notice: Notice,
  nowMs: number,
): Promise<string | undefined> {
  const body = JSON.stringify(notice);
  try {
    const response = await fetch(url, {
      method: 'POST',
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
      headers: {
        'content-type': 'application/json',
        'user-agent': 'flotilla',
        ...signatureOf(secret, notice.id, body, nowMs),
      },
      body,
    });
    await response.body?.cancel();
    return response.ok ? undefined : `it answered with status ${String(response.status)}`;
  } catch (error) {
    if (error instanceof Error && error.name === 'TimeoutError')
      return `it took longer than ${String(timeoutMs / 1000)} s`;
    const code: unknown =
      error instanceof Error && error.cause instanceof Error ? Reflect.get(error.cause, 'code') : undefined;
    return `it cannot be reached${typeof code === 'string' ? ` (${code})` : ''}`;
  }
}

export function signatureOf(secret: Uint8Array, id: string, body: string, nowMs: number): Record<string, string> {
  const timestamp = String(Math.floor(nowMs / 1000));
  const signature = createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
}
