/** The header of the binary extension: how many bytes of the body are JSON. */
import { invalidInput, show } from './invalid-input.js';

export const jsonLengthHeader = 'inference-header-content-length';

/**
 * @returns undefined where the header is absent: the whole body is JSON
 * @throws AppError `score.invalid-input`
 */
export function jsonLengthOf(headers: Readonly<Record<string, string | string[] | undefined>>): number | undefined {
  const value = headers[jsonLengthHeader];
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || !/^\d{1,15}$/.test(value)) {
    throw invalidInput(`Inference-Header-Content-Length must be a number of bytes, got ${show(value)}`);
  }
  return Number(value);
}
