/** What a process holds in memory, as the machine tells. */
import { readFile } from 'node:fs/promises';

/** @returns resident bytes; undefined where the process is gone, or the machine has no /proc */
export async function residentBytes(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8').catch(() => '');
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}
