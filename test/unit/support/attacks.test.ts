import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { attacks } from '#test/e2e/attacks/catalogue.js';
import { attackTable, type TestReport } from '#test/e2e/attacks/table.js';
import { repository } from '#test/support/repository.js';

const each = attacks.flatMap(({ attack, tests }) => tests.map((test) => ({ attack, ...test })));

describe('the list of attacks', () => {
  it.each(each)('$attack is tried by a test that there is: $name', ({ file, name }) => {
    expect(readFileSync(join(repository, file), 'utf8')).toContain(name);
  });

  it('leaves none without a test', () => {
    expect(attacks.filter(({ tests }) => tests.length === 0)).toEqual([]);
    expect(attacks.length).toBeGreaterThan(30);
  });
});

describe('the table of attacks', () => {
  const report = (...results: readonly (readonly [string, 'passed' | 'failed' | 'pending'])[]): TestReport => ({
    testResults: [
      {
        name: join(repository, 'test/a.test.ts'),
        assertionResults: results.map(([fullName, status]) => ({ fullName, status })),
      },
    ],
  });
  const list = [{ attack: 'one', tests: [{ file: 'test/a.test.ts', name: "'a %s of it'" }] }];

  it.each([
    [report(['x a great thing of it', 'passed'], ['x a small thing of it', 'passed']), 'refused', '2 passed'],
    [report(['x a great thing of it', 'passed'], ['x a small thing of it', 'failed']), 'not refused', '1 of 2 failed'],
    [report(['x a great thing of it', 'pending']), 'not tried', 'skipped'],
    [report(['something else', 'passed']), 'not tried', 'none ran'],
  ])('says what became of each %#', (given, verdict, count) => {
    const { lines, isWhole } = attackTable(list, given);
    expect(lines.at(-1)).toContain(`| one | ${verdict} |`);
    expect(lines.at(-1)).toContain(count);
    expect(isWhole).toBe(verdict === 'refused');
  });
});
