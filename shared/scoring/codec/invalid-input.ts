import { AppError, type ErrorDetails } from '#shared/kernel/errors.js';

/** What every codec throws, and all that it throws, for bytes that are not what they should be. */
export function invalidInput(message: string, details: ErrorDetails = {}): AppError {
  return new AppError('score.invalid-input', message, { details });
}

/** A value inside a message: short, and recognisable as JSON. */
export function show(value: unknown): string {
  const text = typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
