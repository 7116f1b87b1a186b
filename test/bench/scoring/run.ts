/** The scoring benchmark: every model on every server that is here, one model after another. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeCores, twoCores, type Cores } from '../cores.js';
import { LineProcess } from '../line-process.js';
import { bareAnswer, checkAnswers, measure, untilAnswering, type Bench, type Row } from './measure.js';
import { peerNames, type BenchOptions } from './options.js';
import { startPeer } from './peers.js';
import { startFixed, startOurs, type BenchServer } from './servers.js';
import { placeSubject, type Subject } from './subjects.js';
import { headersOf, responseOf, type Form } from './wire.js';

const script = (name: string): string => fileURLToPath(new URL(`./${name}.js`, import.meta.url));

/** A round of a slow model is longer than asked: all connections wait for their last answer. */
const shortestSeconds = 0.3;
/** How much longer than the budget rounds may take where the machine is slow, before there are fewer. */
const overrun = 1.2;

export async function runScoring(options: BenchOptions, say: (line: string) => void): Promise<readonly Row[]> {
  const cores = twoCores();
  const folder = await mkdtemp(join(tmpdir(), 'flotilla-bench-'));
  const client = new LineProcess(script('load-client'), [], cores?.client);
  try {
    say(`${describeCores(cores)}; medians of ${String(options.rounds)} interleaved rounds`);
    if (options.profile !== undefined) await mkdir(options.profile, { recursive: true });
    const subjects: Subject[] = [];
    for (const model of options.models) {
      const subject = await placeSubject(model, folder);
      if (subject) subjects.push(subject);
      else say(`${model} is not here: test/bench/peers/install fetches it`);
    }
    const seconds = roundSeconds(options, subjects);
    const deadlineMs = performance.now() + options.budgetSeconds * overrun * 1000;
    const rows: Row[] = [];
    for (const subject of subjects) {
      rows.push(...(await runSubject({ options, cores, folder, client, seconds, deadlineMs, say, subject })));
    }
    return rows;
  } finally {
    await client.end();
    await rm(folder, { recursive: true, force: true });
  }
}

/** What the budget leaves for one round of one measurement. */
export function roundSeconds(
  { budgetSeconds, rounds, servers, concurrency }: BenchOptions,
  subjects: readonly Pick<Subject, 'forms' | 'bareRows'>[],
): number {
  const halves = ['bare', 'fixed', 'ours'].filter((name) => servers.some((server) => server === name)).length;
  const served = servers.filter((server) => server !== 'bare').length * concurrency.length;
  const cells = subjects.reduce(
    (sum, { forms, bareRows }) => sum + forms.length * (served + halves + bareRows.length),
    0,
  );
  // Half a round more for warming up.
  return Math.max(shortestSeconds, budgetSeconds / (cells * (rounds + 0.5)));
}

async function runSubject(context: {
  readonly options: BenchOptions;
  readonly cores: Cores | undefined;
  readonly folder: string;
  readonly client: LineProcess;
  readonly seconds: number;
  readonly deadlineMs: number;
  readonly say: (line: string) => void;
  readonly subject: Subject;
}): Promise<readonly Row[]> {
  const { options, cores, folder, client, say, subject } = context;
  const bare = new LineProcess(script('bare-loop'), [subject.file], cores?.server);
  const { rounds, concurrency } = options;
  const { seconds, deadlineMs } = context;
  const bench: Bench = { bare, client, folder, seconds, deadlineMs, say, rounds, concurrency };
  const wants = (name: (typeof options.servers)[number]): boolean => options.servers.includes(name);
  const core = cores?.server;
  const shared: BenchServer[] = [];
  const rows: Row[] = [];
  try {
    const profile = options.profile === undefined ? undefined : resolve(options.profile);
    if (wants('ours')) shared.push(await startOurs({ model: subject.model, file: subject.file, core, profile }));
    for (const name of peerNames.filter(wants)) {
      const peer = await startPeer(name, { file: subject.file, folder, core });
      if (peer) shared.push(peer);
      else say(`${name} is not here: test/bench/peers/install ${name}`);
    }
    for (const server of shared) await untilAnswering(server, subject);
    for (const form of subject.forms) {
      const servers = [...shared];
      if (wants('fixed')) servers.unshift(await startFixedFor(bench, subject, form, core));
      try {
        for (const server of servers) {
          if (server.name !== 'fixed') await checkAnswers(bench, subject, form, server);
        }
        rows.push(...(await measure(bench, subject, form, servers, wants('bare'))));
      } finally {
        if (servers[0]?.name === 'fixed') await servers[0].stop();
      }
    }
    return rows;
  } finally {
    for (const server of shared) await server.stop();
    await bare.end();
  }
}

async function startFixedFor(
  bench: Bench,
  { model, inputs }: Subject,
  form: Form,
  core: string | undefined,
): Promise<BenchServer> {
  const answer = responseOf(model, await bareAnswer(bench, inputs), form);
  const bodyFile = join(bench.folder, 'fixed.answer');
  await writeFile(bodyFile, answer.body);
  return startFixed({ model, bodyFile, headers: headersOf(answer), core });
}
