/** Measures one model in one form on all servers: checks their answers, then rounds of all in turn. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, postRequest } from '../http-client.js';
import { LatencyHistogram } from '../latency-histogram.js';
import type { LineProcess } from '../line-process.js';
import type { LoadResult } from '../load.js';
import { cpuMsOf, processTree, sizeOf } from '../process-cost.js';
import { median } from '../report.js';
import type { BareQuestion } from './bare-loop.js';
import type { LoadAnswer, LoadQuestion } from './load-client.js';
import type { BenchServer } from './servers.js';
import type { Subject } from './subjects.js';
import { difference, headersOf, readResponse, requestOf, type BenchTensor, type Form } from './wire.js';

export interface Figures {
  readonly perSecond: number;
  readonly p50: number | undefined;
  readonly p99: number | undefined;
  readonly p999: number | undefined;
  readonly cpuMicros: number | undefined;
  readonly failures: number;
  readonly failure: string | undefined;
  readonly clientShare: number | undefined;
}

export interface Row extends Figures {
  readonly model: string;
  readonly form: Form;
  readonly server: string;
  /** `1`, `8`, … connections; `half` the open loop at half of our best rate; rows of a run for the bare loop. */
  readonly load: string;
  readonly pssBytes: number | undefined;
}

export interface Bench {
  readonly bare: LineProcess;
  readonly client: LineProcess;
  readonly folder: string;
  readonly rounds: number;
  readonly seconds: number;
  /** Of the monotonic clock: after it, one round of what is left is all. */
  readonly deadlineMs: number;
  readonly concurrency: readonly number[];
  readonly say: (line: string) => void;
}

/** In turns of a stateful model, so that what is carried is checked too. */
const checkedTurns = 3;

/** @throws Error that says what differs from onnxruntime's own answer */
export async function checkAnswers(bench: Bench, subject: Subject, form: Form, server: BenchServer): Promise<void> {
  let inputs = subject.inputs;
  for (let turn = 0; turn < checkedTurns; turn++) {
    const expected = await bareAnswer(bench, inputs);
    const got = await answerOf(server, form, inputs);
    const wrong = difference(expected, got);
    if (wrong !== undefined) throw new Error(`${server.name} answers ${subject.model} (${form}) wrongly: ${wrong}`);
    inputs = carry(subject, inputs, expected);
  }
}

export function bareAnswer({ bare }: Bench, inputs: readonly BenchTensor[]): Promise<readonly BenchTensor[]> {
  const question: BareQuestion = { kind: 'run', inputs };
  return bare.ask(question);
}

async function answerOf(
  server: BenchServer,
  form: Form,
  inputs: readonly BenchTensor[],
): Promise<readonly BenchTensor[]> {
  const message = requestOf(inputs, form);
  const request = postRequest(server.pathOf(form), headersOf(message), message.body);
  const { status, head, body } = await ask(server.port, request);
  if (status !== 200) throw new Error(`${server.name} answers ${String(status)}: ${body.toString('utf8', 0, 300)}`);
  const jsonLength = /^inference-header-content-length: *(\d+)/m.exec(head)?.[1];
  return readResponse(jsonLength === undefined ? { body } : { body, jsonLength: Number(jsonLength) });
}

function carry(subject: Subject, inputs: readonly BenchTensor[], outputs: readonly BenchTensor[]): BenchTensor[] {
  return inputs.map((input) => {
    const output = outputs.find(({ name }) => subject.carried[name] === input.name);
    return output ? { ...input, shape: output.shape, data: output.data } : input;
  });
}

const startMs = 90_000;

/** @throws Error with its last answer, where it does not score in time */
export async function untilAnswering(server: BenchServer, { forms, inputs }: Subject): Promise<void> {
  const deadlineMs = performance.now() + startMs;
  for (;;) {
    try {
      for (const form of forms) await answerOf(server, form, inputs);
      return;
    } catch (error) {
      if (performance.now() > deadlineMs) throw error;
      await sleep(200);
    }
  }
}

interface Cell {
  readonly server: string;
  readonly load: string;
  readonly pid: number;
  readonly run: (seconds: number) => Promise<LoadResult & { readonly clientShare?: number }>;
}

export async function measure(
  bench: Bench,
  subject: Subject,
  form: Form,
  servers: readonly BenchServer[],
  withBare: boolean,
): Promise<readonly Row[]> {
  const cells: Cell[] = withBare ? subject.bareRows.map((rows) => bareCell(bench, subject, rows)) : [];
  for (const server of servers) {
    for (const connections of bench.concurrency) {
      cells.push(await loadCell(bench, subject, form, server, String(connections), { connections }));
    }
  }
  const rows = await interleaved(bench, subject, form, cells);
  const best = Math.max(...rows.filter(({ server }) => server === 'ours').map(({ perSecond }) => perSecond));
  if (!Number.isFinite(best)) return rows;
  const halves: Cell[] = withBare ? [bareCell(bench, subject, 1, 'half')] : [];
  for (const server of servers.filter(({ name }) => name === 'ours' || name === 'fixed')) {
    halves.push(await loadCell(bench, subject, form, server, 'half', { perSecond: best / 2 }));
  }
  return [...rows, ...(await interleaved(bench, subject, form, halves))];
}

async function interleaved(bench: Bench, subject: Subject, form: Form, cells: readonly Cell[]): Promise<Row[]> {
  const rounds = new Map<
    Cell,
    (LoadResult & { readonly cpuMs: number | undefined; readonly clientShare?: number })[]
  >();
  // The first round warms up.
  for (let round = -1; round < bench.rounds; round++) {
    if (round > 0 && performance.now() > bench.deadlineMs) {
      bench.say(`${subject.model} ${form}: the time is up after ${String(round)} of ${String(bench.rounds)} rounds`);
      break;
    }
    bench.say(`${subject.model} ${form}: ${round < 0 ? 'warming up' : `round ${String(round + 1)}`}`);
    for (const cell of cells) {
      const pids = processTree(cell.pid);
      const before = cpuMsOf(pids);
      const result = await cell.run(round < 0 ? bench.seconds / 2 : bench.seconds);
      const after = cpuMsOf(pids);
      const cpuMs = before === undefined || after === undefined ? undefined : after - before;
      if (round >= 0) rounds.set(cell, [...(rounds.get(cell) ?? []), { ...result, cpuMs }]);
    }
  }
  return cells.map(({ server, load, pid }, index) => ({
    model: subject.model,
    form,
    server,
    load,
    pssBytes: sizeOf(processTree(pid))?.pssBytes,
    ...summarise(cells[index] ? (rounds.get(cells[index]) ?? []) : []),
  }));
}

export function summarise(
  rounds: readonly (LoadResult & { readonly cpuMs: number | undefined; readonly clientShare?: number })[],
): Figures {
  const cpu = rounds.flatMap(({ cpuMs, answers }) =>
    cpuMs === undefined || answers === 0 ? [] : (cpuMs * 1000) / answers,
  );
  const shares = rounds.flatMap(({ clientShare }) => clientShare ?? []);
  return {
    perSecond: median(rounds.map(({ answers, seconds }) => answers / seconds)),
    p50: percentile(rounds, 0.5),
    p99: percentile(rounds, 0.99),
    p999: percentile(rounds, 0.999),
    cpuMicros: cpu.length > 0 ? median(cpu) : undefined,
    failures: rounds.reduce((sum, { failures }) => sum + failures, 0),
    failure: rounds.find(({ failure }) => failure !== undefined)?.failure,
    clientShare: shares.length > 0 ? Math.max(...shares) : undefined,
  };
}

/** The median over the rounds; of all answers together where single rounds have too few. */
function percentile(rounds: readonly LoadResult[], share: number): number | undefined {
  const each = rounds.map(({ latency }) => LatencyHistogram.of([latency]).percentile(share));
  const known = each.filter((value) => value !== undefined);
  if (known.length === each.length && known.length > 0) return median(known);
  return LatencyHistogram.of(rounds.map(({ latency }) => latency)).percentile(share);
}

function bareCell({ bare }: Bench, { inputs }: Subject, rows: number, load = `${String(rows)} a run`): Cell {
  const question = (seconds: number): BareQuestion => ({ kind: 'round', inputs, rows, seconds });
  return { server: 'bare', load, pid: bare.pid, run: (seconds) => bare.ask<LoadResult>(question(seconds)) };
}

async function loadCell(
  { client, folder }: Bench,
  subject: Subject,
  form: Form,
  server: BenchServer,
  load: string,
  how: LoadQuestion['load'],
): Promise<Cell> {
  const request = join(folder, `${server.name}.request`);
  const message = requestOf(subject.inputs, form);
  await writeFile(request, postRequest(server.pathOf(form), headersOf(message), message.body));
  const question = (seconds: number): LoadQuestion => ({ port: server.port, request, seconds, load: how });
  return { server: server.name, load, pid: server.pid, run: (seconds) => client.ask<LoadAnswer>(question(seconds)) };
}
