/** Ctrl-C while waiting for something that goes on without us. */
import { AppError } from '#shared/kernel/errors.js';
import type { CliIo } from './cli-io.js';

/**
 * Runs `wait`; when Ctrl-C ends it, the failure says what goes on and how to see it.
 *
 * @param goesOn for example `the deployment goes on; flotilla device show cam-1`
 */
export async function waitInterruptibly<T>(io: CliIo, goesOn: string, wait: () => Promise<T>): Promise<T> {
  try {
    const value = await wait();
    if (io.signal.aborted) throw new AppError('request.aborted', `stopped waiting: ${goesOn}`);
    return value;
  } catch (error) {
    if (!io.signal.aborted) throw error;
    throw new AppError('request.aborted', `stopped waiting: ${goesOn}`, { cause: error });
  }
}
