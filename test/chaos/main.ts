/**
 * `npm run chaos`: faults against the built programs, for as long as it is let, and one table of what
 * came of it. Topics are the files of test/support/chaos that export `topic`.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { formatTable } from '#cloud/cli/output.js';
import type { ChaosBounds, ChaosRow, ChaosTopic } from '#test/support/chaos/chaos.js';

const help = `Usage: npm run chaos -- [topics…] [--minutes <n>] [--runs <n>] [--seed <n>] [--part <k/n>] [--list]

Tries faults against the built programs and prints one table. A topic is chosen by how its name begins;
without one, all are run, and the minutes are shared among them.

  --minutes <n>  end after about so long (default 60)
  --runs <n>     at most so many runs of each fault
  --seed <n>     which runs come first, and what is random in them (default 1)
  --part <k/n>   of the kills, every n-th point, beginning with the k-th: parts 1/n to n/n are all points
  --list         what there is

Example: npm run chaos -- agent-kill --minutes 5
         npm run chaos -- cloud-kill --part 1/4
`;

const folder = new URL('../support/chaos/', import.meta.url);

function isTopic(module: unknown): module is { topic: ChaosTopic } {
  return typeof module === 'object' && module !== null && 'topic' in module;
}

async function allTopics(): Promise<ChaosTopic[]> {
  const topics: ChaosTopic[] = [];
  for (const name of readdirSync(fileURLToPath(folder)).sort()) {
    if (!name.endsWith('.js')) continue;
    const module: unknown = await import(new URL(name, folder).href);
    if (isTopic(module)) topics.push(module.topic);
  }
  return topics;
}

function refuse(what: string): never {
  process.stderr.write(`${what}\n\n${help}`);
  process.exit(2);
}

function numberOf(value: string | undefined, name: string): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  return Number.isFinite(number) && number > 0 ? number : refuse(`--${name} ${value}: a number above 0 is needed`);
}

function partOf(value: string | undefined): ChaosBounds['part'] {
  if (value === undefined) return undefined;
  const [, number, of] = (/^([1-9]\d{0,3})\/([1-9]\d{0,3})$/.exec(value) ?? []).map(Number);
  if (number === undefined || of === undefined || number > of)
    return refuse(`--part ${value}: one such as 3/8 is needed`);
  return { number, of };
}

function readArguments() {
  try {
    const number = { type: 'string' } as const;
    const flag = { type: 'boolean', default: false } as const;
    return parseArgs({
      allowPositionals: true,
      options: { minutes: number, runs: number, seed: number, part: number, list: flag, help: flag },
    });
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}

const { values, positionals } = readArguments();
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}
const topics = await allTopics();
if (values.list) {
  process.stdout.write(topics.map(({ name, about }) => `${name.padEnd(16)} ${about}\n`).join(''));
  process.exit(0);
}
const unknown = positionals.filter((asked) => !topics.some(({ name }) => name.startsWith(asked)));
if (unknown.length > 0)
  refuse(`no topic begins with ${unknown.join(', ')}; there are: ${topics.map(({ name }) => name).join(', ')}`);
const chosen = topics.filter(
  ({ name }) => positionals.length === 0 || positionals.some((asked) => name.startsWith(asked)),
);

const seed = numberOf(values.seed, 'seed') ?? 1;
const runs = numberOf(values.runs, 'runs');
const part = partOf(values.part);
const endAt = performance.now() + (numberOf(values.minutes, 'minutes') ?? 60) * 60_000;
const rows: ChaosRow[] = [];
for (const [index, topic] of chosen.entries()) {
  const share = Math.max(1_000, Math.round((endAt - performance.now()) / (chosen.length - index)));
  process.stderr.write(`== ${topic.name}: ${topic.about}\n`);
  rows.push(
    ...(await topic.run({
      seed,
      signal: AbortSignal.timeout(share),
      say: (line) => process.stderr.write(`   ${line}\n`),
      ...(runs === undefined ? {} : { runs }),
      ...(part === undefined ? {} : { part }),
    })),
  );
}

const cells = rows.map((row) => [row.fault, ...[row.runs, row.survived, row.lost, row.doubled].map(String)]);
process.stdout.write(`${formatTable(['FAULT', 'RUNS', 'SURVIVED', 'LOST', 'DOUBLED'], cells)}`);
const failures = rows.flatMap(({ fault, failures: each }) => each.map((what) => `${fault}: ${what}`));
for (const failure of failures) process.stdout.write(`${failure}\n`);
process.exit(failures.length === 0 ? 0 : 1);
