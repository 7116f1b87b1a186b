/** Which cores a benchmark uses: the load client has its own, what is measured shares the other. */
import { execFileSync } from 'node:child_process';

export interface Cores {
  readonly client: string;
  readonly server: string;
}

/** Two of the cores that this process may use; undefined where `taskset` or a second core is missing. */
export function twoCores(): Cores | undefined {
  try {
    const [client, server] = parseCoreList(
      execFileSync('taskset', ['-c', '-p', String(process.pid)], { encoding: 'utf8' }),
    );
    return client === undefined || server === undefined ? undefined : { client, server };
  } catch {
    return undefined;
  }
}

/** `pid 7's current affinity list: 0,2-3` are the cores 0, 2 and 3. */
export function parseCoreList(said: string): readonly string[] {
  const list = /: (.+)$/m.exec(said)?.[1] ?? '';
  return list.split(',').flatMap((part) => {
    const [from = 0, to = from] = part.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, index) => String(from + index));
  });
}

/** All threads of a process that runs already. */
export function pin(pid: number, core: string | undefined): void {
  if (core !== undefined) execFileSync('taskset', ['-a', '-p', '-c', core, String(pid)], { stdio: 'ignore' });
}

export function describeCores(cores: Cores | undefined): string {
  return cores
    ? `client on core ${cores.client}, servers and limits on core ${cores.server}`
    : 'taskset or a second core is missing: client and servers share what there is';
}
