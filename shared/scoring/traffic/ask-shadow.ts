/** Asks a shadow version what the live version was asked, whichever of the two has user code, in whatever process. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { Body } from '../body-reader.js';
import { jsonLengthHeader, jsonLengthOf } from '../codec/json-length.js';
import type { LoadedHostedModule } from '../host/hosted-module.js';
import type { BodyForm } from '../worker/worker-protocol.js';
import type { Ask } from './shadow.js';
import { type CopyAnswer, maxScriptAnswerBytes, OutsideShadow, readAnswer } from './shadow-door.js';

/** The default, and the lowest there is. */
const priority = 0;
const deadlineMs = 30_000;

export interface Asked {
  readonly form: BodyForm;
  readonly body: Body;
  readonly jsonLength: number | undefined;
  /** As the live version's script had them. */
  readonly headers: IncomingHttpHeaders;
  readonly requestId: string;
}

export function askShadow(asked: Asked, clock: Clock): Ask {
  return async (target) => {
    const { form, body, jsonLength } = asked;
    if (target.script) return askScript(target, asked);
    if (target instanceof OutsideShadow) return target.answerByModel(`/${form}`, jsonLength, bytesOf(body));
    const deadline = clock.monotonic() + deadlineMs;
    return target.answer({ form, body, jsonLength, abandoned: () => false, priority, deadlineMs: deadline });
  };
}

async function askScript(target: LoadedHostedModule | OutsideShadow, asked: Asked): Promise<CopyAnswer> {
  const { form, body, jsonLength, requestId } = asked;
  const { 'transfer-encoding': _, ...headers } = asked.headers;
  const answer = await target.answerByScript(
    form === 'infer' ? '/infer' : '/score',
    {
      'content-type': jsonLength === undefined ? 'application/json' : 'application/octet-stream',
      ...headers,
      'content-length': String(body.length),
      ...(jsonLength === undefined ? {} : { [jsonLengthHeader]: String(jsonLength) }),
    },
    requestId,
    bytesOf(body),
  );
  const bytes = await readAnswer(answer, maxScriptAnswerBytes);
  if (answer.status !== 200) throw new AppError('score.failed', `the shadow script answered ${String(answer.status)}`);
  const answered = jsonLengthOf(answer.headers);
  return { body: bytes, ...(answered === undefined ? {} : { jsonLength: answered }) };
}

function bytesOf({ buffer, start, length }: Body): Uint8Array {
  return new Uint8Array(buffer, start, length);
}
