/** What a script returned, as JSON. */
import { AppError, messageOf } from '#shared/kernel/errors.js';

/** @throws AppError `score.failed` for what JSON cannot carry */
export function toJson(value: unknown): string {
  try {
    return JSON.stringify(value ?? null, plain) ?? 'null';
  } catch (error) {
    throw new AppError('score.failed', `the script returned what JSON cannot carry: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Typed arrays as arrays; 64-bit integers as numbers where these are exact, else as text. */
function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (ArrayBuffer.isView(value) && !(value instanceof DataView))
    return Array.from(value as unknown as ArrayLike<unknown>);
  return value;
}
