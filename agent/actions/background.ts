/** Owns what was begun and not awaited: nothing is forgotten at the end, and no failure goes unseen. */
export class Background {
  private readonly running = new Set<Promise<void>>();

  constructor(private readonly onError: (error: unknown) => void) {}

  run(task: () => Promise<void>): void {
    const one = task()
      .catch(this.onError)
      .finally(() => this.running.delete(one));
    this.running.add(one);
  }

  async settled(): Promise<void> {
    while (this.running.size > 0) await Promise.all(this.running);
  }
}
