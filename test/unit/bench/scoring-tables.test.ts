import { describe, expect, it } from 'vitest';
import { LatencyHistogram } from '#test/bench/latency-histogram.js';
import { summarise, type Row } from '#test/bench/scoring/measure.js';
import { parseOptions } from '#test/bench/scoring/options.js';
import { roundSeconds } from '#test/bench/scoring/run.js';
import { figureRows, goalsOf } from '#test/bench/scoring/tables.js';

const row = (server: string, load: string, perSecond: number, more: Partial<Row> = {}): Row => ({
  model: 'mlp',
  form: 'JSON',
  server,
  load,
  perSecond,
  p50: 1,
  p99: 2,
  p999: undefined,
  cpuMicros: 100,
  failures: 0,
  failure: undefined,
  clientShare: 0.5,
  pssBytes: 50 * 1024 ** 2,
  ...more,
});

describe('scoring benchmark: goals', () => {
  it('hold JSON of the small model against fixed bytes at the same number of connections', () => {
    const goals = goalsOf([row('fixed', '1', 10_000), row('fixed', '64', 40_000), row('ours', '64', 30_000)]);
    expect(goals).toEqual([
      {
        what: 'mlp JSON, 64 connections, throughput of fixed bytes',
        figure: '0.75',
        goal: 'at least 0.7',
        met: true,
      },
    ]);
  });

  it('hold the large model against one run after another of the bare loop', () => {
    const mobilenet = { model: 'mobilenet', form: 'binary' } as const;
    const goals = goalsOf([row('bare', '1 a run', 100, mobilenet), row('ours', '8', 94, mobilenet)]);
    expect(goals).toMatchObject([{ figure: '0.94', met: false }]);
  });

  it('hold latency at half load against the bare run', () => {
    const goals = goalsOf([
      row('bare', 'half', 1, { p50: 1, p99: 2 }),
      row('ours', 'half', 500, { p50: 1.25, p99: 3.5 }),
    ]);
    expect(goals.map(({ figure, met }) => [figure, met])).toEqual([
      ['+0.25 ms', true],
      ['+1.50 ms', false],
    ]);
  });

  it('are silent where a side was not measured', () => {
    expect(goalsOf([row('ours', '64', 30_000), row('ours', 'half', 15_000)])).toEqual([]);
  });
});

describe('scoring benchmark: figures', () => {
  it('give ratios to both limits, and a note on failures and on a client at its limit', () => {
    const rows = [
      row('bare', '1 a run', 50_000),
      row('fixed', '8', 40_000),
      row('ours', '8', 20_000, { failures: 3, failure: 'status 503', clientShare: 0.95 }),
    ];
    expect(figureRows(rows)[2]).toEqual([
      'mlp JSON',
      'ours',
      '8',
      '20,000',
      '0.40',
      '0.50',
      '1.00',
      '2.00',
      '-',
      '100',
      '50',
      '3 failed: status 503; the client was at its limit',
    ]);
  });

  it('are medians over rounds; percentiles of too few answers a round are of all together', () => {
    const round = (answers: number, ms: number) => {
      const latency = new LatencyHistogram();
      for (let index = 0; index < answers; index++) latency.add(ms);
      return { answers, failures: 0, seconds: 1, latency: latency.encode(), cpuMs: answers, clientShare: 0.1 };
    };
    const figures = summarise([round(60, 1), round(30, 2), round(40, 9)]);
    expect(figures).toMatchObject({ perSecond: 40, cpuMicros: 1000, p999: undefined });
    expect(figures.p50).toBeCloseTo(2, 1);
    expect(figures.p99).toBeCloseTo(9, 1);
    // One round that has enough does not speak for the others.
    expect(summarise([round(100, 1), round(50, 9)]).p99).toBeCloseTo(9, 1);
  });
});

describe('scoring benchmark: options', () => {
  it('take models and servers from one list, all of a kind that is not named', () => {
    expect(parseOptions(['--only', 'mlp,ours'])).toMatchObject({ models: ['mlp'], servers: ['ours'] });
    expect(parseOptions(['--only', 'mlp']).servers).toHaveLength(7);
  });

  it.each([
    [['--only', 'mlp,triton'], /--only knows no triton; it knows mlp,/],
    [['--concurrency', '1,0'], /--concurrency needs numbers above 0/],
    [['--output', 'xml'], /--output is table or json/],
  ])('refuse %j', (args, message) => {
    expect(() => parseOptions(args)).toThrow(message);
  });

  it('spend the budget on all rounds and warming up, whatever is measured', () => {
    const options = parseOptions(['--minutes', '7', '--only', 'ours,fixed,bare']);
    const subjects = [{ forms: ['JSON', 'binary'] as const, bareRows: [1] }];
    // 2 forms of 2 servers at 3 concurrencies, 3 at half load, and the bare loop; 3.5 rounds.
    expect(roundSeconds(options, subjects) * 2 * (2 * 3 + 3 + 1) * 3.5).toBeCloseTo(7 * 60);
  });
});
