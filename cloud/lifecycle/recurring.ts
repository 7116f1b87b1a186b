import type { Clock } from '#shared/kernel/clock.js';
import type { Logger } from '#shared/platform/logger.js';

export interface RecurringTask {
  readonly name: string;
  readonly everyMs: number;
  run(): Promise<void>;
}

/**
 * Runs the task now and then, one run after the other, until the returned function is called; that resolves when
 * the run under way has ended. A failure is logged, and the next run comes all the same.
 */
export function startRecurring(task: RecurringTask, clock: Clock, logger: Logger): () => Promise<void> {
  const stopping = new AbortController();
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await clock.sleep(task.everyMs, stopping.signal);
      if (stopping.signal.aborted) return;
      try {
        await task.run();
      } catch (error) {
        logger.error({ err: error, task: task.name }, 'a recurring task failed');
      }
    }
  };
  const done = loop();
  return async () => {
    stopping.abort();
    await done;
  };
}
