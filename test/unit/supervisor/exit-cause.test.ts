import { describe, expect, it } from 'vitest';
import { causeText, type ExitEvidence, judgeExit } from '#shared/supervisor/exit-cause.js';
import { UsageJudge } from '#shared/supervisor/resource-watch.js';

const seen: ExitEvidence = { code: null, signal: null, lastLines: [], started: true };
const limits = { memoryBytes: 100 * 2 ** 20, openFiles: 256 };
const story = { memoryKills: 0, memoryPeakBytes: 99 * 2 ** 20, refusedProcesses: 0 };

describe('why a process ended', () => {
  it.each<[string, Partial<ExitEvidence>, string, string]>([
    ['a code', { code: 3, lastLines: ['bye'] }, 'exit', 'exit code 3: bye'],
    ['a signal', { signal: 'SIGSEGV' }, 'signal', 'SIGSEGV'],
    [
      'the kernel, for memory',
      { signal: 'SIGKILL', story: { ...story, memoryKills: 1 }, limits },
      'memory',
      'out of memory, at 99 MB of 100 MB',
    ],
    [
      "somebody's kill -9, after a child of it was ended for memory: not told apart",
      { signal: 'SIGKILL', story, limits },
      'signal',
      'SIGKILL',
    ],
    [
      'V8, which gives up',
      { signal: 'SIGABRT', lastLines: ['FATAL ERROR: … JavaScript heap out of memory', '1: 0xb'], limits, story },
      'memory',
      'out of memory, at 99 MB of 100 MB: 1: 0xb',
    ],
    ['an abort that says nothing of memory', { signal: 'SIGABRT', lastLines: ['assert'] }, 'signal', 'SIGABRT: assert'],
    [
      'descriptors',
      { code: 1, lastLines: ['Error: EMFILE: too many open files'], limits },
      'files',
      'out of file descriptors, of which it may have 256: Error: EMFILE: too many open files',
    ],
    [
      'a word about descriptors, and a clean end',
      { code: 0, lastLines: ['EMFILE once'] },
      'exit',
      'exit code 0: EMFILE once',
    ],
    [
      'us, as it hung',
      { signal: 'SIGKILL', verdict: { kind: 'silent', numbers: { silentMs: 3000 } } },
      'silent',
      'hung: no answer for 3 s',
    ],
    [
      'no start',
      { started: false, lastLines: ['spawn ENOENT'] },
      'not-started',
      'it could not be started: spawn ENOENT',
    ],
  ])('%s', (_, evidence, kind, text) => {
    const cause = judgeExit({ ...seen, ...evidence });
    expect([cause.kind, causeText(cause)]).toEqual([kind, text]);
  });
});

describe('a process that is looked at now and then', () => {
  it('is ended at once over its memory, and for descriptors only when it stays at its limit', () => {
    const judge = new UsageJudge({ memoryBytes: 100, openFiles: 10 });
    const looks = [9, 9, 3, 9, 9, 9].map((openFiles) => judge.judge({ memoryBytes: 100, openFiles })?.kind);
    expect(looks).toEqual([undefined, undefined, undefined, undefined, undefined, 'files']);
    expect(judge.judge({ memoryBytes: 101, openFiles: 1 })).toEqual({
      kind: 'memory',
      numbers: { memoryBytes: 101, memoryLimitBytes: 100 },
    });
    expect(judge.judge({ memoryBytes: undefined, openFiles: undefined })).toBeUndefined();
  });
});
