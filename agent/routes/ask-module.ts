/**
 * Has a module answer, by the device's own scoring port, as any local caller: so it is the version that answers
 * now, with its limits, its probation and its counts.
 */
import { request } from 'node:http';
import { messageOf } from '#shared/kernel/errors.js';
import { inputHeader, sourceHeader } from '#shared/scoring/script-host/route-headers.js';
import type { LossReason, Payload } from './payload.js';

export interface ModuleRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface ScoringAddress {
  readonly address: string;
  readonly port: number;
  /** Opens a port that asks for keys. */
  readonly token: string | undefined;
}

export type Asked =
  | { readonly kind: 'answered'; readonly payloads: readonly Payload[] }
  | { readonly kind: 'lost'; readonly reason: LossReason; readonly message: string }
  /** Not now. `begun`: it may have been what ended the process that answers. */
  | { readonly kind: 'later'; readonly message: string; readonly begun: boolean };

export interface Question {
  readonly request: ModuleRequest;
  readonly input: string;
  readonly source: string | undefined;
  readonly maxAnswerBytes: number;
}

export function askModule(scoring: ScoringAddress, question: Question, signal: AbortSignal): Promise<Asked> {
  const { request: wanted, input, source, maxAnswerBytes } = question;
  return new Promise((resolve) => {
    let begun = false;
    const later = (error: unknown): void => resolve({ kind: 'later', message: messageOf(error), begun });
    const sent = request(
      {
        host: scoring.address,
        port: scoring.port,
        path: wanted.path,
        method: 'POST',
        agent: false,
        signal,
        headers: {
          ...wanted.headers,
          'content-length': wanted.body.length,
          [inputHeader]: input,
          ...(source === undefined ? {} : { [sourceHeader]: encodeURIComponent(source) }),
          ...(scoring.token === undefined ? {} : { authorization: `Bearer ${scoring.token}` }),
        },
      },
      (response) => {
        const parts: Buffer[] = [];
        let bytes = 0;
        response.on('data', (part: Buffer) => {
          bytes += part.length;
          if (bytes <= maxAnswerBytes) parts.push(part);
          else response.destroy();
        });
        const end = (otherwise: () => void): void => {
          if (bytes > maxAnswerBytes) resolve(tooLarge(maxAnswerBytes));
          else otherwise();
        };
        response.on('error', (error) => end(() => later(error)));
        response.on('end', () => {
          end(() =>
            resolve(judge(response.statusCode ?? 0, response.headers['content-type'], Buffer.concat(parts), source)),
          );
        });
      },
    );
    sent.once('socket', (socket) => {
      socket.once('connect', () => {
        begun = true;
      });
    });
    sent.on('error', later);
    sent.end(wanted.body);
  });
}

/** What the status of an answer means for the item that was asked about. */
export function judge(status: number, type: string | undefined, body: Buffer, source: string | undefined): Asked {
  if (status >= 200 && status < 300) return { kind: 'answered', payloads: payloadsOf(type, body, source) };
  const message = `${String(status)}: ${body.toString('utf8', 0, 300)}`;
  // Not loaded, not deployed any more or not yet, too much else to do, or not let in.
  if ([401, 403, 404, 429, 502, 503].includes(status)) return { kind: 'later', message, begun: false };
  if (status === 413) return { kind: 'lost', reason: 'too-large', message };
  return { kind: 'lost', reason: status < 500 ? 'refused' : 'failed', message };
}

/** A script that yields gives one answer for each value. */
function payloadsOf(type: string | undefined, body: Buffer, source: string | undefined): Payload[] {
  if (type?.startsWith('text/event-stream')) {
    const events = body.toString('utf8').split('\n\n');
    return events.flatMap((event) => {
      const data = /^data: (.*)$/m.exec(event)?.[1];
      const isValue = data !== undefined && !event.startsWith('event: ');
      return isValue ? [{ bytes: Buffer.from(data), json: true, source }] : [];
    });
  }
  return [{ bytes: body, json: type?.startsWith('application/octet-stream') !== true, source }];
}

function tooLarge(maxBytes: number): Asked {
  return { kind: 'lost', reason: 'too-large', message: `its answer is larger than ${String(maxBytes)} bytes` };
}
