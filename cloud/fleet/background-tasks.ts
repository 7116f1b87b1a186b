/** The owner of work that nobody waits for: its failures are logged, and shutdown waits for it. */
import { messageOf } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';

export class BackgroundTasks {
  private readonly running = new Set<Promise<void>>();

  constructor(private readonly logger: Logger) {}

  run(what: string, task: () => Promise<void>): void {
    const running = task()
      .catch((error: unknown) => this.logger.warn({ reason: messageOf(error) }, `${what} failed`))
      .finally(() => this.running.delete(running));
    this.running.add(running);
  }

  async idle(): Promise<void> {
    while (this.running.size > 0) await Promise.all(this.running);
  }
}
