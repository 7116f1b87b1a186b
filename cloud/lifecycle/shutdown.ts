/** What must be undone, in the reverse of the order it was done; one failure does not keep the rest from it. */
import type { Logger } from '#shared/platform/logger.js';

export class Shutdown {
  private readonly steps: { readonly name: string; readonly step: () => void | Promise<void> }[] = [];
  private running: Promise<void> | undefined;

  constructor(private readonly logger: Logger) {}

  add(name: string, step: () => void | Promise<void>): void {
    this.steps.push({ name, step });
  }

  /** Called again, it waits for the first run. */
  async run(): Promise<void> {
    this.running ??= this.unwind();
    await this.running;
  }

  private async unwind(): Promise<void> {
    for (let last = this.steps.pop(); last !== undefined; last = this.steps.pop()) {
      try {
        await last.step();
      } catch (error) {
        this.logger.error({ err: error, step: last.name }, 'a step of the shutdown failed');
      }
    }
  }
}
