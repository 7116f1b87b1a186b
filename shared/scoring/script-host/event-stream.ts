/**
 * What a script yields, as server-sent events: one for each value, its `data` in JSON as an answer's
 * body would be. What is thrown midway is an event `error` with its message, and the end.
 */
import type { ServerResponse } from 'node:http';
import type { AppError } from '#shared/kernel/errors.js';
import { toJson } from './script-json.js';
import { eventStreamType, problemHeader } from './problem-header.js';

export function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !(value instanceof Uint8Array) &&
    typeof Reflect.get(value, Symbol.asyncIterator) === 'function'
  );
}

/**
 * Nothing is sent before the first value is there: a script that fails until then answers with a status.
 * The iteration ends, and the script's `finally` runs, when the client leaves.
 *
 * @param failureOf what the client is told of an error
 * @returns what the stream ended with, where it did not end well
 * @throws the failure of a script that has no first value
 */
export async function sendEvents(
  values: AsyncIterable<unknown>,
  response: ServerResponse,
  failureOf: (error: unknown) => AppError,
): Promise<AppError | undefined> {
  const iterator = values[Symbol.asyncIterator]();
  let left = response.closed;
  const leave = (): void => {
    left = true;
    // A generator that waits for something ends once that has come.
    iterator.return?.().catch(() => undefined);
  };
  response.once('close', leave);
  let next: IteratorResult<unknown>;
  try {
    next = await iterator.next();
  } catch (error) {
    throw failureOf(error);
  }
  let failure: AppError | undefined;
  response.writeHead(200, {
    'content-type': eventStreamType,
    'cache-control': 'no-cache',
    trailer: problemHeader,
  });
  response.flushHeaders();
  try {
    while (next.done !== true && !left) {
      if (!response.write(eventText('message', toJson(next.value)))) await drained(response);
      next = await iterator.next();
    }
  } catch (error) {
    failure = failureOf(error);
    if (!left) {
      response.write(eventText('error', JSON.stringify({ message: failure.message })));
      response.addTrailers({ [problemHeader]: failure.code });
    }
  } finally {
    response.off('close', leave);
    if (next.done !== true) iterator.return?.().catch(() => undefined);
  }
  response.end();
  return failure;
}

/** JSON has no line breaks of its own, so that its text is one line of data. */
function eventText(event: string, json: string): string {
  return event === 'message' ? `data: ${json}\n\n` : `event: ${event}\ndata: ${json}\n\n`;
}

/** Or nobody is there any more. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.once('drain', done);
    response.once('close', done);
  });
}
