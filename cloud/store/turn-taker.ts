/** Lets tasks run one after the other, in the order they came. */
export class TurnTaker {
  private last: Promise<unknown> = Promise.resolve();

  async run<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.last.then(task);
    // The queue goes on after a failure; the caller of the failed task gets the error.
    this.last = turn.catch(() => undefined);
    return turn;
  }
}
