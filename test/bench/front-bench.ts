/**
 * The front of web services over two scoring hosts, beside one of them asked directly, beside nginx over the same two, and
 * beside itself with every request read by Node.
 */
import { readFile, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { digits, digitsFolder, Scoring } from '#test/support/scoring-harness.js';
import { bindHandle, bindSocket } from '#shared/supervisor/listen-handle.js';
import { describeCores, pin, twoCores } from './cores.js';
import type { FrontQuestion } from './front/front-process.js';
import { hasProgram, startNginx } from './front/nginx.js';
import { Wrk, type WrkResult } from './front/wrk.js';
import { LineProcess } from './line-process.js';
import { cpuMsOf, processTree } from './process-cost.js';
import { median, printRatios, printTable } from './report.js';

const frontProcess = fileURLToPath(new URL('./front/front-process.js', import.meta.url));
const prefix = '/endpoints/main/digits';
const target = '/v2/models/digits/infer';
const connections = 16;
const rounds = 3;
const seconds = 3;
const key = 'a-key-of-this-benchmark';

interface Subject {
  readonly name: string;
  readonly url: string;
  /** Of what stands before the hosts. */
  readonly pid: number | undefined;
}

interface Round extends WrkResult {
  readonly cpuMicros: number | undefined;
}

export async function run(): Promise<void> {
  if (!hasProgram('wrk')) {
    console.log('wrk is not installed (Debian: apt-get install wrk): nothing is measured');
    return;
  }
  const cores = twoCores();
  console.log(describeCores(cores));
  const folder = await mkdtemp(join(tmpdir(), 'flotilla-front-bench-'));
  const scoring = new Scoring();
  const ends: (() => Promise<void>)[] = [];
  try {
    const bare = await scoring.serve([digits]);
    pin(bare.host.pid, cores?.server);
    const sockets = [join(folder, '1.sock'), join(folder, '2.sock')];
    for (const socket of sockets) await serveOn(scoring, socket, cores?.server);

    const subjects: Subject[] = [{ name: 'bare', url: `${bare.url}${target}`, pid: undefined }];
    for (const plain of [true, false]) {
      const front = new LineProcess(frontProcess, [], cores?.server);
      ends.push(() => front.end());
      const question: FrontQuestion = { sockets, key, plain };
      const { url } = await front.ask<{ readonly url: string }>(question);
      const name = plain ? 'front' : 'front where Node reads all';
      subjects.push({ name, url: `${url}${prefix}${target}`, pid: front.pid });
    }
    if (hasProgram('nginx')) {
      const nginx = await startNginx({ folder, port: freePort(), sockets, prefix, core: cores?.server });
      ends.push(() => nginx.stop());
      subjects.push({ name: 'nginx', url: `${nginx.url}${target}`, pid: nginx.pid });
    } else console.log('nginx is not installed (Debian: apt-get install nginx-light): measured without it');

    const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` };
    const wrk = await Wrk.posting(folder, await bodyOf(), headers, cores?.client);
    print(await measure(wrk, subjects));
  } finally {
    for (const end of ends.reverse()) await end();
    await scoring.end();
    await rm(folder, { recursive: true, force: true });
  }
}

async function serveOn(scoring: Scoring, socket: string, core: string | undefined): Promise<void> {
  const bound = bindSocket(`${socket}.new`);
  const { host } = await scoring.serve([digits], {}, { ...bound, port: 0 });
  await rename(`${socket}.new`, socket);
  bound.close();
  pin(host.pid, core);
}

function freePort(): number {
  const bound = bindHandle('127.0.0.1', 0);
  bound.close();
  return bound.port;
}

async function bodyOf(): Promise<Buffer> {
  const text = await readFile(join(digitsFolder, 'golden.json'), 'utf8');
  const [vector] = JSON.parse(text) as { readonly request: object }[];
  return Buffer.from(JSON.stringify(vector?.request));
}

async function measure(wrk: Wrk, subjects: readonly Subject[]): Promise<ReadonlyMap<string, readonly Round[]>> {
  const results = new Map<string, Round[]>();
  // The first round warms up.
  for (let round = -1; round < rounds; round++) {
    for (const { name, url, pid } of subjects) {
      const pids = pid === undefined ? [] : processTree(pid);
      const before = cpuMsOf(pids);
      const result = await wrk.run(url, connections, seconds);
      const after = cpuMsOf(pids);
      const cpuMicros =
        before === undefined || after === undefined ? undefined : ((after - before) * 1000) / result.answers;
      if (round >= 0) results.set(name, [...(results.get(name) ?? []), { ...result, cpuMicros }]);
    }
  }
  return results;
}

function print(results: ReadonlyMap<string, readonly Round[]>): void {
  const of = (name: string, figure: (round: Round) => number): number => median((results.get(name) ?? []).map(figure));
  printTable(
    ['what', 'answers/s', 'p50 ms', 'p99 ms', 'CPU µs/answer', 'failures'],
    [...results.keys()].map((name) => [
      name === 'bare' ? 'one host, asked directly' : `two hosts behind ${name}`,
      Math.round(of(name, ({ perSecond }) => perSecond)).toLocaleString('en-US'),
      of(name, ({ p50Ms }) => p50Ms).toFixed(2),
      of(name, ({ p99Ms }) => p99Ms).toFixed(2),
      name === 'bare' ? '-' : of(name, ({ cpuMicros = Number.NaN }) => cpuMicros).toFixed(1),
      String((results.get(name) ?? []).reduce((sum, { failures }) => sum + failures, 0)),
    ]),
  );
  const limits = [...results.keys()].filter((name) => name !== 'front');
  printRatios(
    limits.flatMap((name) => {
      const beside = name === 'bare' ? 'one bare host' : name;
      const [ours, limit] = ['front', name];
      const speed = { what: `answers beside ${beside}`, unit: '/s' };
      const late = { what: `p99 beside ${beside}`, unit: 'ms' };
      return [
        { ...speed, ours: of(ours, ({ perSecond }) => perSecond), limit: of(limit, ({ perSecond }) => perSecond) },
        { ...late, ours: of(ours, ({ p99Ms }) => p99Ms), limit: of(limit, ({ p99Ms }) => p99Ms) },
      ];
    }),
  );
}
