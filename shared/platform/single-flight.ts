/**
 * Runs one task at a time, on demand. Invariants: at most one run is under way; a wake during a run
 * leads to exactly one further run after it; wakes carry no data, so a lost or doubled one is harmless.
 */
export class SingleFlight {
  private running: Promise<void> | undefined;
  private again = false;
  private stopped = false;

  constructor(
    private readonly task: () => Promise<void>,
    /** Gets what the task threw; the loop goes on. */
    private readonly onError: (error: unknown) => void,
  ) {}

  wake(): void {
    if (this.stopped) return;
    if (this.running) {
      this.again = true;
      return;
    }
    // The task starts in a microtask, when `running` is set: a task may wake us before its first await.
    this.running = Promise.resolve()
      .then(() => this.runOnce())
      .finally(() => {
        this.running = undefined;
        if (this.again) this.wake();
      });
  }

  /** No further run starts; resolves when the one under way has ended. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.again = false;
    await this.running;
  }

  /** Resolves when nothing is under way and nothing waits. */
  async idle(): Promise<void> {
    while (this.running) await this.running;
  }

  private async runOnce(): Promise<void> {
    if (this.stopped) return;
    // Wakes up to here are served by the run that begins now.
    this.again = false;
    try {
      await this.task();
    } catch (error) {
      this.onError(error);
    }
  }
}
