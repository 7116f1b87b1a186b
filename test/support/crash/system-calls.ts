/**
 * Reads what `strace -f -y` saw of a program, and says which durable change was none: a file that got its
 * name before its bytes were synced, or a folder that was not synced after it got a name. Pure.
 */
import { dirname } from 'node:path';

/** For `strace`: all that changes a file or a name, and what makes it last. */
export const tracedCalls =
  'write,pwrite64,writev,pwritev,pwritev2,copy_file_range,sendfile,ftruncate,truncate,fsync,fdatasync,rename,renameat,renameat2,link,linkat';

export interface TraceRules {
  readonly root: string;
  /** Paths below the root, by how they begin, of which nothing has to last. */
  readonly passing: readonly string[];
  /** Files whose last bytes may be un-synced, and why. */
  readonly mayEndUnsynced: readonly string[];
}

export interface TraceJudgement {
  /** Targets of every rename and link below the root, relative. */
  readonly named: readonly string[];
  readonly synced: number;
  readonly wrong: readonly string[];
}

interface Call {
  readonly name: string;
  readonly text: string;
}

export function judgeTrace(trace: string, { root, passing, mayEndUnsynced }: TraceRules): TraceJudgement {
  const wrong: string[] = [];
  const named: string[] = [];
  /** Written since the last sync. */
  const dirty = new Set<string>();
  /** Folders with a name that is not yet sure. */
  const unsure = new Map<string, string>();
  let synced = 0;
  const relative = (path: string): string | undefined => {
    if (!path.startsWith(`${root}/`) && path !== root) return undefined;
    const inside = path.slice(root.length + 1);
    return passing.some((start) => inside.startsWith(start)) ? undefined : inside;
  };
  for (const { name, text } of callsOf(trace)) {
    if (/^(write|pwrite|writev|pwritev|copy_file_range|sendfile|ftruncate)/.test(name)) {
      // The last file named is the one that is written; in sendfile it is the first.
      const files = [...text.matchAll(/\d+<([^>]*)>/g)].map(([, path = '']) => path);
      const path = relative((name === 'copy_file_range' ? files.at(-1) : files[0]) ?? '');
      if (path !== undefined) dirty.add(path);
    } else if (name === 'fsync' || name === 'fdatasync') {
      const path = relative(/<([^>]*)>/.exec(text)?.[1] ?? '');
      if (path === undefined) continue;
      synced += 1;
      dirty.delete(path);
      unsure.delete(path);
    } else {
      const [from = '', to = ''] = [...text.matchAll(/"([^"]*)"/g)].map(([, path = '']) => path);
      const [source, target] = [relative(from), relative(to)];
      if (target === undefined) continue;
      named.push(target);
      if (source !== undefined) {
        for (const path of [...dirty]) {
          if (path !== source && !path.startsWith(`${source}/`)) continue;
          wrong.push(`${target} got its name before the bytes of ${path} were synced`);
        }
      }
      const folder = dirname(target) === '.' ? '' : dirname(target);
      unsure.set(folder, target);
    }
  }
  for (const [folder, target] of unsure)
    wrong.push(`the folder /${folder} was not synced after ${target} got its name`);
  for (const path of dirty) {
    if (!mayEndUnsynced.some((start) => path.startsWith(start))) wrong.push(`${path} was left un-synced`);
  }
  return { named, synced, wrong };
}

/** Calls that went well, in the order that they took effect: writes where they began, the others where they ended. */
function callsOf(trace: string): Call[] {
  const calls: Call[] = [];
  const begun = new Map<string, Call>();
  for (const line of trace.split('\n')) {
    const whole = /^(\d+)\s+(\w+)\((.*)\)\s+=\s+(-?\d+)/.exec(line);
    if (whole !== null) {
      const [, , name = '', text = '', result = '-1'] = whole;
      if (Number(result) >= 0) calls.push({ name, text });
      continue;
    }
    const start = /^(\d+)\s+(\w+)\((.*) <unfinished \.\.\.>/.exec(line);
    if (start !== null) {
      const [, process = '', name = '', text = ''] = start;
      if (/write|copy|sendfile|truncate/.test(name)) calls.push({ name, text });
      else begun.set(process, { name, text });
      continue;
    }
    const end = /^(\d+)\s+<\.\.\. \w+ resumed>.*=\s+(-?\d+)/.exec(line);
    const call = end === null ? undefined : begun.get(end[1] ?? '');
    if (end === null || call === undefined) continue;
    begun.delete(end[1] ?? '');
    if (Number(end[2]) >= 0) calls.push(call);
  }
  return calls;
}
