/** Why a container ended, in words. Pure. */
import type { Problem } from '#shared/kernel/errors.js';
import type { ContainerState } from './engine-answers.js';

const signals: Readonly<Record<number, string>> = { 134: 'SIGABRT', 137: 'SIGKILL', 139: 'SIGSEGV', 143: 'SIGTERM' };

/**
 * @param told by the replica itself, which knows best but for one thing: that the kernel ended it for its memory
 * @param lines that it wrote last
 */
export function containerEnd(
  state: Pick<ContainerState, 'OOMKilled' | 'ExitCode' | 'Error'>,
  told: Problem | undefined,
  lines: readonly string[],
  memoryBytes: number | undefined,
): Problem {
  const { OOMKilled: overMemory, ExitCode: code, Error: failure } = state;
  if (
    overMemory &&
    (told === undefined || (told.code === 'process.failed' && !told.message.includes('out of memory')))
  ) {
    const limit = memoryBytes === undefined ? '' : ` of ${String(Math.round(memoryBytes / 2 ** 20))} MB`;
    return {
      code: 'process.failed',
      message: `its container ran out of memory${limit}${told === undefined ? '' : `; ${told.message}`}`,
    };
  }
  if (told !== undefined) return told;
  const signal = signals[code];
  const how = signal === undefined ? `with exit code ${String(code)}` : `by ${signal}`;
  // Who was killed, or ended in order, said nothing of it.
  const last = failure === '' && code !== 137 && code !== 0 ? lines.at(-1)?.slice(0, 500) : failure;
  const lacks = code === 127 || /no such file or directory|shared librar/.test(last ?? '');
  const advice = lacks ? '. Its base must have glibc 2.28 or later and libstdc++' : '';
  return {
    code: 'process.failed',
    message: `its container ended ${how}${last === undefined || last === '' ? '' : `: ${last}`}${advice}`,
  };
}
