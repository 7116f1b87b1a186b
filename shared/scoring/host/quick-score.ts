/**
 * The requests that come by the thousand, answered without the framework: `POST /v2/models/{model}/infer`
 * of a model without a script. For a tiny model the framework's part of a request is as large as parsing or
 * running it (docs/decisions/0011). What it answers is what the routes would answer; whatever is not exactly
 * such a request is left to them.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { AppError } from '#shared/kernel/errors.js';
import type { NewId } from '#shared/kernel/ids.js';
import type { Logger } from '#shared/platform/logger.js';
import { originOf } from '../traffic/request-origin.js';
import { faultOf } from './faults.js';
import type { LoadedHostedModule } from './hosted-module.js';
import { acceptableId } from './request-id.js';
import { answerHeaders, bytesOf, counted } from './score-answer.js';
import { refuseEncoded, scoreByModel } from './score-model.js';
import type { ScoringHost } from './scoring-host.js';

export interface QuickScoreDeps {
  readonly host: ScoringHost;
  readonly log: Logger;
  readonly newId: NewId;
}

/** @returns whether the request is being answered */
export type QuickScore = (message: IncomingMessage, response: ServerResponse) => boolean;

const before = '/v2/models/';
const after = '/infer';

export function quickScore(deps: QuickScoreDeps): QuickScore {
  return (message, response) => {
    const { url = '', method, headers } = message;
    if (method !== 'POST' || !url.startsWith(before) || !url.endsWith(after)) return false;
    // `Expect` and what else is no everyday request is the framework's.
    if (headers.expect !== undefined || headers.upgrade !== undefined) return false;
    const name = url.slice(before.length, -after.length);
    const ready = deps.host.versions(name);
    if (ready.length === 0 || ready.some(({ script }) => script !== undefined)) return false;
    void answer(deps, name, message, response);
    return true;
  };
}

async function answer(
  { host, log, newId }: QuickScoreDeps,
  name: string,
  message: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const startedMs = host.clock.monotonic();
  const id = acceptableId(message.headers['x-request-id']) ?? newId();
  let module: LoadedHostedModule | undefined;
  try {
    const chosen = host.route(name, undefined, message.headers);
    module = chosen;
    await counted(host, chosen, startedMs, async () => {
      refuseEncoded(message);
      const origin = originOf({ id, headers: message.headers });
      const given = await scoreByModel(host, { module: chosen, face: 'v2', message, origin, startedMs });
      const body = bytesOf(given);
      const fields = [...host.provenanceFields(chosen), 'x-request-id', id];
      const ofAnswer = answerHeaders(given, 'v2', 0);
      for (const name in ofAnswer) fields.push(name, ofAnswer[name] ?? '');
      write(response, 200, fields, body);
      return undefined;
    });
  } catch (error) {
    if (!(error instanceof AppError)) log.error({ err: error, url: message.url }, 'a request failed by a bug of ours');
    const { status, headers, body } = faultOf(error, 'v2');
    const provenance = module === undefined ? [] : host.provenanceFields(module);
    const bytes = Buffer.from(JSON.stringify(body));
    write(response, status, [...provenance, 'x-request-id', id, ...Object.entries(headers).flat()], bytes);
  }
}

/** @param fields names and values in turn, which Node writes without a look-up for each */
function write(response: ServerResponse, status: number, fields: readonly string[], body: Buffer): void {
  response.writeHead(status, [...fields, 'content-length', String(body.length)]);
  response.end(body);
}
