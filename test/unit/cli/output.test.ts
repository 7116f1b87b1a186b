import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatAge, formatBytes, formatFields, formatTable, Output, printable } from '#cloud/cli/output.js';
import { Progress } from '#cloud/cli/progress.js';

const sink = (): { text: string; write(text: string): void } => ({
  text: '',
  write(text) {
    this.text += text;
  },
});

describe('text from elsewhere', () => {
  it('reaches the terminal without control characters, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(printable(text)).not.toMatch(/\p{Cc}|\p{Cf}/u);
        expect(printable(printable(text))).toBe(printable(text));
      }),
    );
    expect(printable('a\u001b[31mred\r\nb')).toBe('a[31mred b');
  });
});

describe('a table', () => {
  it('has its columns aligned, and no blanks at the end of a line', () => {
    expect(
      formatTable(
        ['NAME', 'X'],
        [
          ['a', '1'],
          ['longer-name', ''],
          ['ü', '22'],
        ],
      ),
    ).toBe('NAME         X\na            1\nlonger-name\nü            22\n');
  });
  it('has one line a row, whatever stands in it', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string({ unit: 'binary' }), fc.string())), (rows) => {
        expect(formatTable(['A', 'B'], rows).split('\n')).toHaveLength(rows.length + 2);
      }),
    );
  });
});

describe('fields', () => {
  it('leave out what is not there', () => {
    expect(
      formatFields([
        ['a', '1'],
        ['long', undefined],
        ['bb', '2'],
      ]),
    ).toBe('a     1\nbb    2\n');
  });
});

describe('sizes and ages', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [5_242_880, '5.0 MiB'],
    [157_286_400, '150 MiB'],
  ])('%d is %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });
  it.each([
    [0, '0s ago'],
    [59_000, '59s ago'],
    [3_599_000, '59m ago'],
    [7_200_000, '2h ago'],
    [172_800_000, '2d ago'],
    [-5000, '0s ago'],
  ])('%d ms is %s', (ms, text) => {
    expect(formatAge(new Date(1_000_000_000 - ms).toISOString(), 1_000_000_000)).toBe(text);
  });
  it('never is never', () => {
    expect(formatAge(undefined, 0)).toBe('never');
  });
});

describe('output', () => {
  it('in json is one value on standard output, and notes are elsewhere', () => {
    const [out, err] = [sink(), sink()];
    const output = new Output('json', out, err);
    output.note('a note');
    output.result({ a: 1 }, () => 'words');
    expect(JSON.parse(out.text)).toEqual({ a: 1 });
    expect(err.text).toBe('a note\n');
  });
  it('in json is a line for each of many', () => {
    const out = sink();
    const output = new Output('json', out, sink());
    output.item({ a: 1 }, () => '');
    output.item({ a: 2 }, () => '');
    expect(
      out.text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([{ a: 1 }, { a: 2 }]);
  });
});

describe('progress', () => {
  it('is one line rewritten on a terminal', () => {
    const err = sink();
    const progress = new Progress(err, true);
    progress.bytes('file', 1, 3);
    progress.bytes('file', 2, 3);
    progress.line('done');
    expect(err.text).not.toMatch(/\n.*\n/);
    expect(err.text.endsWith('\r\u001b[Kdone\n')).toBe(true);
  });
  it('is plain lines elsewhere, one a tenth', () => {
    const err = sink();
    const progress = new Progress(err, false);
    for (let done = 0; done <= 1000; done++) progress.bytes('file', done * 10_000, 10_000_000);
    progress.bytes('small', 500, 1000);
    progress.clear();
    expect(err.text.trim().split('\n')).toHaveLength(11);
    expect(err.text).not.toContain('\r');
  });
});
