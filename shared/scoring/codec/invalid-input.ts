import { AppError, type ErrorDetails } from '#shared/kernel/errors.js';

/** What every codec throws, and all that it throws, for bytes that are not what they should be. */
export function invalidInput(message: string, details: ErrorDetails = {}): AppError {
  return new AppError('score.invalid-input', message, { details });
}

/** A value inside a message: short, and recognisable as JSON. */
export function show(value: unknown): string {
  const text = typeof value === 'bigint' ? String(value) : asJson(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** What was parsed may be nested deeper than can be written: the one fails where the other does not. */
function asJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch (error) {
    if (error instanceof RangeError)
      return Array.isArray(value) ? 'arrays nested too deeply' : 'a value nested too deeply';
    throw error;
  }
}
