import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chart, sparkline } from '#cloud/cli/plot.js';

const values = fc.array(fc.option(fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e9, max: 1e9 })), {
  maxLength: 60,
});

describe('a plot', () => {
  it('has as many rows as asked and no line longer than its values, whatever they are', () => {
    fc.assert(
      fc.property(values, (of) => {
        const lines = chart(of, 4, (value) => value.toFixed(0))
          .split('\n')
          .slice(0, -1);
        expect(lines).toHaveLength(4);
        const axis = lines[0]?.indexOf('┤') ?? 0;
        for (const line of lines) expect(Array.from(line).length).toBeLessThanOrEqual(axis + 1 + of.length);
        expect(Array.from(sparkline(of)).length).toBeLessThanOrEqual(of.length);
      }),
    );
  });

  it('begins at 0 unless all values are far from it', () => {
    const label = String;
    expect(chart([1, 10], 2, label)).toBe('10 ┤ █\n 0 ┤▂█\n');
    expect(chart([98, 100], 2, label)).toBe('100 ┤ █\n 98 ┤▁█\n');
    expect(chart([0, 0], 1, label)).toBe('1 ┤▁▁\n');
    expect(chart([], 1, label)).toBe('1 ┤\n');
  });

  it('leaves a space where nothing was told', () => {
    expect(sparkline([1, null, 8])).toBe('▁ █');
    expect(sparkline([null, null])).toBe('');
    expect(sparkline([5, 5])).toBe('▁▁');
  });
});
