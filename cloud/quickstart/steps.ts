/** Numbered steps with their times. A step that fails says which one it was and why. */
export class Steps {
  private number = 0;
  private readonly startedAt = performance.now();

  constructor(private readonly write: (line: string) => void) {}

  async run<T>(title: string, action: () => Promise<T>, describe: (value: T) => readonly string[]): Promise<T> {
    this.number += 1;
    const head = `${String(this.number).padStart(2)}. ${title}`;
    const startedAt = performance.now();
    let value: T;
    try {
      value = await action();
    } catch (error) {
      this.write(`${head}  FAILED`);
      throw new StepFailed(this.number, title, error);
    }
    this.write(`${head}  (${seconds(performance.now() - startedAt)})`);
    for (const line of describe(value)) this.write(`      ${line}`);
    return value;
  }

  get elapsed(): string {
    return seconds(performance.now() - this.startedAt);
  }
}

export class StepFailed extends Error {
  constructor(number: number, title: string, cause: unknown) {
    super(`step ${String(number)} (${title}) failed: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
