/** Why a process ended: what its parent saw, what the kernel counted, and what we ended it for. Pure. */
import type { GroupStory } from './sandbox/cgroups.js';

/**
 * `memory`: over its limit, ended by the kernel, by us, or by V8's own hand. `silent`: its loop turned no
 * more. `files`: it ran out of descriptors. `not-started`: there never was a process.
 */
export type ExitKind = 'exit' | 'signal' | 'memory' | 'silent' | 'files' | 'not-started';

export interface ExitCause {
  readonly kind: ExitKind;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly lastLines: readonly string[];
  /** For example memoryPeakBytes, memoryLimitBytes, openFiles, silentMs. */
  readonly numbers: Readonly<Record<string, number>>;
}

/** Why we ended a process ourselves. */
export interface Verdict {
  readonly kind: 'memory' | 'silent' | 'files';
  readonly numbers: Readonly<Record<string, number>>;
}

export interface ExitEvidence {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly lastLines: readonly string[];
  readonly started: boolean;
  readonly verdict?: Verdict | undefined;
  readonly story?: GroupStory | undefined;
  readonly limits?: { readonly memoryBytes: number; readonly openFiles: number } | undefined;
}

export function judgeExit({ verdict, story, limits, started, ...seen }: ExitEvidence): ExitCause {
  const { code, signal, lastLines } = seen;
  const cause = (kind: ExitKind, numbers: ExitCause['numbers'] = {}): ExitCause => ({ kind, ...seen, numbers });
  if (!started) return cause('not-started');
  if (verdict !== undefined) return cause(verdict.kind, verdict.numbers);
  const memory = {
    ...(limits === undefined ? {} : { memoryLimitBytes: limits.memoryBytes }),
    ...(story?.memoryPeakBytes === undefined ? {} : { memoryPeakBytes: story.memoryPeakBytes }),
  };
  if ((story?.memoryKills ?? 0) > 0 && signal === 'SIGKILL') return cause('memory', memory);
  const said = (pattern: RegExp): boolean => lastLines.some((line) => pattern.test(line));
  // V8 gives up by abort; a shell between us and it would say 134.
  if ((signal === 'SIGABRT' || code === 134) && said(/heap out of memory|Allocation failed/)) {
    return cause('memory', memory);
  }
  if (code !== 0 && code !== null && said(/\bEMFILE\b|\bENFILE\b/)) {
    return cause('files', limits === undefined ? {} : { openFilesLimit: limits.openFiles });
  }
  return cause(signal === null ? 'exit' : 'signal');
}

/** How a process ended, in one line. */
export function causeText(cause: ExitCause): string {
  const last = cause.lastLines.at(-1);
  const how = howText(cause);
  return last === undefined ? how : `${how}: ${last.slice(0, 500)}`;
}

function howText({ kind, code, signal, numbers }: ExitCause): string {
  const megabytes = (name: string): string | undefined => {
    const bytes = numbers[name];
    return bytes === undefined ? undefined : `${String(Math.round(bytes / 2 ** 20))} MB`;
  };
  switch (kind) {
    case 'memory': {
      const used = megabytes('memoryBytes') ?? megabytes('memoryPeakBytes');
      const limit = megabytes('memoryLimitBytes');
      return `out of memory${used === undefined ? '' : `, at ${used}`}${limit === undefined ? '' : ` of ${limit}`}`;
    }
    case 'silent':
      return `hung: no answer for ${String(Math.round((numbers['silentMs'] ?? 0) / 1000))} s`;
    case 'files': {
      const limit = numbers['openFilesLimit'];
      return `out of file descriptors${limit === undefined ? '' : `, of which it may have ${String(limit)}`}`;
    }
    case 'not-started':
      return 'it could not be started';
    case 'signal':
      return signal ?? 'a signal';
    case 'exit':
      return `exit code ${String(code)}`;
  }
}
