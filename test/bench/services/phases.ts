/** What requests came to, by what happened meanwhile and by the second. */
import type { Asked } from '#test/support/services/watched-load.js';
import type { WrkResult } from '../front/wrk.js';
import { LatencyHistogram } from '../latency-histogram.js';
import { printTable } from '../report.js';

export interface Phase {
  readonly name: string;
  /** How many requests may fail in it, with 424. */
  readonly mayFail: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly wrk: WrkResult | undefined;
}

/** Requests of a phase are those that began in it. */
export function printPhases(phases: readonly Phase[], asked: readonly Asked[]): void {
  const rows = phases.flatMap(({ name, startMs, endMs, wrk }) => {
    const own = between(asked, startMs, endMs);
    const failed = own.filter(({ failure }) => failure !== undefined);
    const statuses = failed.filter(({ failure }) => failure?.startsWith('status'));
    const seconds = ((endMs - startMs) / 1000).toFixed(1);
    const kinds = [...new Set(failed.map(({ failure }) => failure))].join(', ');
    const ours = [
      name,
      seconds,
      'ours',
      count(own.length),
      count(statuses.length),
      count(failed.length - statuses.length),
    ];
    const rest = [...latencies(own), kinds];
    if (!wrk) return [[...ours, ...rest]];
    const { answers, failures, broken, p50Ms, p99Ms } = wrk;
    return [
      [
        name,
        seconds,
        'wrk',
        count(answers),
        count(failures - broken),
        count(broken),
        p50Ms.toFixed(2),
        p99Ms.toFixed(2),
        '',
      ],
      ['', '', ...ours.slice(2), ...rest],
    ];
  });
  printTable(['phase', 's', 'by', 'requests', 'status', 'reset', 'p50 ms', 'p99 ms', 'failed with'], rows);
}

export function printSeconds(phases: readonly Phase[], asked: readonly Asked[]): void {
  const [first] = phases;
  const last = phases.at(-1);
  if (!first || !last) return;
  const rows: string[][] = [];
  for (let fromMs = first.startMs; fromMs < last.endMs; fromMs += 1000) {
    const own = between(asked, fromMs, fromMs + 1000);
    const phase = phases.find(({ endMs }) => fromMs < endMs);
    const failed = own.filter(({ failure }) => failure !== undefined).length;
    const second = Math.round((fromMs - first.startMs) / 1000);
    rows.push([String(second), phase?.name ?? '', count(own.length), count(failed), ...latencies(own)]);
  }
  printTable(['s', 'phase', 'requests', 'failed', 'p50 ms', 'p99 ms'], rows);
}

export function printAnswerers(asked: readonly Asked[]): void {
  const answers = new Map<string, number>();
  for (const { by } of asked) answers.set(by, (answers.get(by) ?? 0) + 1);
  printTable(
    ['deployment and version', 'answers'],
    [...answers].map(([by, those]) => [by === '' ? '(nobody)' : by, count(those)]),
  );
}

/** @throws Error where more failed than what a killed replica worked on */
export function judge(phases: readonly Phase[], asked: readonly Asked[]): void {
  let lost = 0;
  for (const { name, mayFail, startMs, endMs, wrk } of phases) {
    const own = between(asked, startMs, endMs).filter(({ failure }) => failure !== undefined);
    const failed = own.length + (wrk?.failures ?? 0);
    // Of a killed replica the front says 424; of those of wrk no more is known than that they were answered.
    const others = own.filter(({ failure }) => failure !== 'status 424').length + (wrk?.broken ?? 0);
    if (failed > mayFail || others > 0) {
      throw new Error(
        `${name}: ${count(failed)} failed, ${count(others)} of them otherwise than with a killed replica`,
      );
    }
    lost += failed;
  }
  console.log(`\nfailed: ${count(lost)} while a replica was killed, 0 otherwise (goal 0)`);
}

function between(asked: readonly Asked[], fromMs: number, toMs: number): Asked[] {
  return asked.filter(({ startedMs }) => startedMs >= fromMs && startedMs < toMs);
}

function latencies(asked: readonly Asked[]): readonly [p50: string, p99: string] {
  const histogram = new LatencyHistogram();
  for (const { tookMs } of asked) histogram.add(tookMs);
  const said = (share: number): string => histogram.percentile(share)?.toFixed(2) ?? '-';
  return [said(0.5), said(0.99)];
}

const count = (value: number): string => value.toLocaleString('en-US');
