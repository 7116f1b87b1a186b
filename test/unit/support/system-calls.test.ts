import { describe, expect, it } from 'vitest';
import { judgeTrace } from '#test/support/crash/system-calls.js';

const rules = { root: '/s', passing: ['logs/'], mayEndUnsynced: ['partial/'] };
const judge = (...lines: string[]): readonly string[] => judgeTrace(lines.join('\n'), rules).wrong;

const write = '7 write(20</s/a.new>, ""..., 5) = 5';
const sync = '8 fsync(20</s/a.new>) = 0';
const rename = '9 rename("/s/a.new", "/s/a") = 0';
const syncFolder = '7 fsync(21</s>) = 0';

describe('a trace of system calls', () => {
  it('of a write, its sync, the name and the sync of the folder is right', () => {
    expect(judge(write, sync, rename, syncFolder)).toEqual([]);
    expect(judgeTrace([write, sync, rename, syncFolder].join('\n'), rules)).toMatchObject({ named: ['a'], synced: 2 });
  });

  it.each([
    ['a name before the sync', [write, rename, sync, syncFolder], /got its name before/],
    ['no sync of the folder', [write, sync, rename], /the folder \/ was not synced/],
    ['a sync of the folder before the name', [write, sync, syncFolder, rename], /the folder \/ was not synced/],
    ['bytes after the sync', [write, sync, write, rename, syncFolder], /got its name before/],
    ['a file that is left', [write], /left un-synced/],
    ['a sync that failed', [write, '8 fsync(20</s/a.new>) = -1 EIO (x)', rename, syncFolder], /before the bytes/],
    [
      'a folder whose file is not synced',
      ['7 pwrite64(20</s/m.new/f>, ""..., 5, 0) = 5', '9 rename("/s/m.new", "/s/m") = 0', syncFolder],
      /before the bytes of m.new\/f/,
    ],
  ])('with %s is wrong', (_what, lines, message) => {
    expect(judge(...lines).join()).toMatch(message);
  });

  it('counts a sync where it ended and a write where it began, when calls run side by side', () => {
    const begun = '8 fsync(20</s/a.new> <unfinished ...>';
    const ended = '8 <... fsync resumed>) = 0';
    expect(judge(write, begun, ended, rename, syncFolder)).toEqual([]);
    expect(judge(write, begun, rename, ended, syncFolder).join()).toMatch(/before the bytes/);
    expect(judge('7 write(20</s/a.new>, ""..., 5 <unfinished ...>', rename, syncFolder).join()).toMatch(/before/);
  });

  it('takes no notice of other folders, and of what need not last', () => {
    expect(judge('7 write(20</elsewhere/a>, "", 5) = 5', '7 write(20</s/logs/x>, "", 5) = 5')).toEqual([]);
    expect(judge('7 write(20</s/partial/x>, "", 5) = 5')).toEqual([]);
  });
});
