/** A process of a benchmark that answers each line of JSON on its input with one on its output. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

export class LineProcess {
  readonly pid: number;
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  constructor(script: string, args: readonly string[], core: string | undefined) {
    const command = [process.execPath, script, ...args];
    const [program = '', ...rest] = core === undefined ? command : ['taskset', '-c', core, ...command];
    const child = spawn(program, rest, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ORT_DISABLE_TELEMETRY: '1' },
    });
    this.child = child;
    this.pid = child.pid ?? 0;
    // One that ended tells by the end of its output; what could not be written to it says no more.
    child.stdin.on('error', () => undefined);
    this.lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  async ask<T>(question: object): Promise<T> {
    this.child.stdin?.write(`${JSON.stringify(question)}\n`);
    const line = await this.lines.next();
    if (line.done === true) throw new Error(`a benchmark process ended: ${this.child.spawnargs.join(' ')}`);
    const answer = JSON.parse(line.value) as T | { readonly error: string };
    if (typeof answer === 'object' && answer !== null && 'error' in answer) throw new Error(answer.error);
    return answer as T;
  }

  async end(): Promise<void> {
    const exited = new Promise<void>((resolve) => this.child.once('exit', () => resolve()));
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.stdin?.end();
    await exited;
  }
}

/** The other end: answers until the input ends. */
export async function answerLines<Question>(answer: (question: Question) => Promise<object>): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    let said: object;
    try {
      said = await answer(JSON.parse(line) as Question);
    } catch (error) {
      said = { error: error instanceof Error ? error.message : String(error) };
    }
    process.stdout.write(`${JSON.stringify(said)}\n`);
  }
}
