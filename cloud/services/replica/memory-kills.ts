/** How often the kernel ended a process of this container because its memory was used up. */
import { readFile } from 'node:fs/promises';

/** Of cgroup 2, and of its predecessor. A container sees its own group as the root. */
const files = ['/sys/fs/cgroup/memory.events', '/sys/fs/cgroup/memory/memory.oom_control'];

export async function memoryKills(): Promise<number> {
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')));
  return Math.max(...texts.map((text) => Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0)));
}
