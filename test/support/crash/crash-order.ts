/** What a test tells the preload of a program that it starts, as one environment variable. */
import { join } from 'node:path';
import { repository } from '../repository.js';

export interface CrashOrder {
  /** End of the path of the program that it is for; its hosts and workers inherit the variable and ignore it. */
  readonly program: string;
  /** First arguments of the program. */
  readonly commands: readonly string[];
  /** Changes below this folder count, but none in these folders in it. */
  readonly root: string;
  readonly except: readonly string[];
  /** Count statements of SQLite as well. */
  readonly sql: boolean;
  /** Killed there; never when absent. */
  readonly killAt?: number;
  /** Every point that was reached, a line each. */
  readonly seen: string;
  /** While this file is there, no change is taken, as on a disk that the kernel has made read-only. */
  readonly readOnlyWhile?: string;
  /** Every change with its bytes, a line each as it begins and as it ends: see journal.ts. */
  readonly journal?: string;
}

export function crashOrderOf(text: string | undefined): CrashOrder | undefined {
  return text === undefined ? undefined : (JSON.parse(text) as CrashOrder);
}

/** Environment of a built program that is to obey the order. */
export function crashEnvironment(order: CrashOrder): Record<string, string> {
  const preload = join(repository, 'dist/test/support/crash/preload.js');
  return { NODE_OPTIONS: `--import=${preload}`, FLOTILLA_CRASH: JSON.stringify(order) };
}
