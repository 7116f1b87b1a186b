import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import { LineTail } from '#shared/supervisor/line-tail.js';
import { LogBudget, usualLogRate } from '#shared/supervisor/log-budget.js';

async function linesOf(chunks: (string | Buffer)[]): Promise<{ seen: string[]; kept: readonly string[] }> {
  const seen: string[] = [];
  const budget = new LogBudget(usualLogRate, 0);
  const tail = new LineTail({ onLine: (line) => seen.push(line), onDropped: () => undefined, budget, now: () => 0 });
  const stream = new PassThrough();
  tail.read(stream);
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  await finished(stream);
  return { seen, kept: tail.lines };
}

describe('LineTail', () => {
  it('joins lines that arrive in pieces, inside a character too', async () => {
    const text = Buffer.from('Zürich\nsecond\r\nlast without end');
    const { seen } = await linesOf([text.subarray(0, 2), text.subarray(2, 9), text.subarray(9)]);
    expect(seen).toEqual(['Zürich', 'second', 'last without end']);
  });

  it('keeps the last lines only', async () => {
    const { seen, kept } = await linesOf([Array.from({ length: 50 }, (_, index) => `${String(index)}\n`).join('')]);
    expect(seen).toHaveLength(50);
    expect(kept).toHaveLength(20);
    expect(kept.at(-1)).toBe('49');
  });

  it('cuts a line that does not end', async () => {
    const { seen } = await linesOf(['x'.repeat(20_000)]);
    expect(seen.map((line) => line.length)).toEqual([8192, 8192, 3616]);
  });
});
