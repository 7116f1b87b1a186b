/** A module's answer as it stands in a file or an event: the JSON value, or the bytes in base64. Pure. */
import type { Payload } from '../payload.js';

export type AnswerValue = { readonly value: unknown } | { readonly base64: string };

/** JSON that is none, against what its sender said, goes as bytes. */
export function answerValue({ bytes, json }: Payload): AnswerValue {
  if (json) {
    try {
      return { value: JSON.parse(bytes.toString('utf8')) as unknown };
    } catch {
      // As bytes, below.
    }
  }
  return { base64: bytes.toString('base64') };
}
