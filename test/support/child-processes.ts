import { readdir, readFile } from 'node:fs/promises';

/** Processes that this one has started, whose command line names the program. */
export async function childrenOf(parent: number, program: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const status = await readFile(`/proc/${name}/status`, 'utf8').catch(() => '');
    const command = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    if (status.includes(`\nPPid:\t${String(parent)}\n`) && command.includes(program)) found.push(Number(name));
  }
  return found;
}
