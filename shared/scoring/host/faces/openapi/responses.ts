/** Parts that operations share: answers and failures, as OpenAPI 3.1 writes them. */
import type { Schema } from './tensor-schemas.js';

export interface Operation {
  readonly [field: string]: unknown;
  readonly responses: Readonly<Record<string, unknown>>;
}

const words: Readonly<Record<string, string>> = {
  400: 'The request is not what it should be',
  401: 'No control token, or another one',
  403: 'This host has no control token: nobody may',
  404: 'There is no such model, version or document',
  408: 'The body came too slowly',
  413: 'The body is too large',
  415: 'The content type is not served',
  429: 'Too many requests wait already: try again after Retry-After',
  431: 'An id in the headers is longer than 100 characters',
  500: 'The model or script failed, or an output cannot be written as JSON',
  501: 'Not served',
  503: 'Not loaded, too many requests wait, or the time was over: try again after Retry-After',
  504: 'The time that the request gave was over',
};

export type FaultKey = 'error' | 'message';

export function faults(key: FaultKey, statuses: readonly number[]): Record<string, unknown> {
  return Object.fromEntries(
    statuses.map((status) => [
      String(status),
      {
        description: words[String(status)] ?? 'Failed',
        content: { 'application/json': { schema: { $ref: `#/components/schemas/${key}` } } },
      },
    ]),
  );
}

export const faultSchemas: Readonly<Record<FaultKey, Schema>> = {
  error: { type: 'object', required: ['error'], properties: { error: { type: 'string' } } },
  message: { type: 'object', required: ['message'], properties: { message: { type: 'string' } } },
};

export function json(schema: Schema, description = 'The answer'): Record<string, unknown> {
  return { 200: { description, content: { 'application/json': { schema } } } };
}

export function body(schema: Schema, example: unknown, required = true): Record<string, unknown> {
  const content = { schema, ...(example === undefined ? {} : { example }) };
  return { requestBody: { required, content: { 'application/json': content } } };
}

/** What a script may answer with. */
export const scriptAnswers: Record<string, unknown> = {
  200: {
    description: 'What the script returned: JSON, bytes, or events where it streams',
    content: { 'application/json': {}, 'application/octet-stream': {}, 'text/event-stream': {} },
  },
  default: { description: 'What the script failed with', content: { 'application/json': {} } },
};
