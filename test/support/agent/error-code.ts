import { AppError } from '#shared/kernel/errors.js';

/** What was given, or the code of the error that came instead. */
export async function errorCodeOf<T>(task: Promise<T>): Promise<T | string> {
  try {
    return await task;
  } catch (error) {
    if (error instanceof AppError) return error.code;
    throw error;
  }
}
