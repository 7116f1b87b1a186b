/** Runs a Python program of checks (`test/support/outside/checks.py`) and reads how each went. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export interface CheckResult {
  readonly name: string;
  /** Absent where the check passed. */
  readonly failure?: string;
}

export async function runChecks(python: string, program: string, args: readonly string[]): Promise<CheckResult[]> {
  const { stdout } = await promisify(execFile)(python, [program, ...args], {
    timeout: 120_000,
    maxBuffer: 64 * 1024 * 1024,
    // No bytecode beside the sources, and no word from what the client's environment says.
    env: { PATH: process.env['PATH'], PYTHONDONTWRITEBYTECODE: '1', PYTHONUTF8: '1' },
  });
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as CheckResult);
}
