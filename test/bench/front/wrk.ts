/** wrk, the load client: one thread on a core of its own, connections that stay open. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface WrkResult {
  readonly perSecond: number;
  readonly answers: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers that were no 2xx, and connections that failed. */
  readonly failures: number;
  /** Of the failures, those of connections: not taken, reset, ended in the middle, or late. */
  readonly broken: number;
}

export class Wrk {
  private constructor(
    private readonly script: string,
    private readonly core: string | undefined,
  ) {}

  static async posting(
    folder: string,
    body: Buffer,
    headers: Readonly<Record<string, string>>,
    core: string | undefined,
  ): Promise<Wrk> {
    const bodyFile = join(folder, 'body');
    const script = join(folder, 'post.lua');
    await writeFile(bodyFile, body);
    const lines = Object.entries(headers).map(
      ([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`,
    );
    const load = `local file = io.open(${JSON.stringify(bodyFile)}, "rb")\nwrk.body = file:read("*a")\nfile:close()`;
    await writeFile(script, ['wrk.method = "POST"', load, ...lines, ''].join('\n'));
    return new Wrk(script, core);
  }

  async run(url: string, connections: number, seconds: number): Promise<WrkResult> {
    const { program, args } = this.command(url, connections, seconds);
    const { stdout } = await promisify(execFile)(program, args, { timeout: (seconds + 30) * 1000 });
    return readWrk(stdout);
  }

  /** Asks for as long as something takes, three minutes at most. */
  async during(url: string, connections: number, work: () => Promise<void>): Promise<WrkResult> {
    const { program, args } = this.command(url, connections, 180);
    const asking = promisify(execFile)(program, args);
    // Its failure is told where it is awaited.
    asking.catch(() => undefined);
    try {
      await work();
    } finally {
      // Interrupted, it says what it has.
      asking.child.kill('SIGINT');
    }
    return readWrk((await asking).stdout);
  }

  private command(url: string, connections: number, seconds: number): { program: string; args: string[] } {
    const wrk = [
      'wrk',
      '-t1',
      `-c${String(connections)}`,
      `-d${String(seconds)}s`,
      '--latency',
      '-s',
      this.script,
      url,
    ];
    const [program = '', ...args] = this.core === undefined ? wrk : ['taskset', '-c', this.core, ...wrk];
    return { program, args };
  }
}

/** @throws Error where it is not what wrk says */
export function readWrk(said: string): WrkResult {
  const found = (pattern: RegExp): string => {
    const text = pattern.exec(said)?.[1];
    if (text === undefined) throw new Error(`wrk said something else than usual: ${said}`);
    return text;
  };
  const sockets = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(said)?.slice(1) ?? [];
  const broken = sockets.reduce((sum, each) => sum + Number(each), 0);
  const others = /Non-2xx or 3xx responses: (\d+)/.exec(said)?.[1] ?? '0';
  return {
    perSecond: Number(found(/Requests\/sec: +([\d.]+)/)),
    answers: Number(found(/(\d+) requests in /)),
    p50Ms: milliseconds(found(/ 50% +(\S+)/)),
    p99Ms: milliseconds(found(/ 99% +(\S+)/)),
    failures: broken + Number(others),
    broken,
  };
}

const unitsMs: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000 };

function milliseconds(text: string): number {
  const [, value = '', unit = ''] = /^([\d.]+)([a-z]+)$/.exec(text) ?? [];
  return Number(value) * (unitsMs[unit] ?? Number.NaN);
}
