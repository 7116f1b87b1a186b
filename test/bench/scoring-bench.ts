/**
 * Our scoring host over HTTP with binary tensors against the same model in a bare onnxruntime loop. Both
 * servers and the loop share one core, the client has its own (where `taskset` exists); rounds of the two
 * are interleaved, medians compared. Where others use the machine meanwhile, CPU time per answer says more than
 * rates: it is printed beside them.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { convolutionModel } from '#test/support/onnx-writer.js';
import { digitsFolder, fixtures, hostedModule, Scoring } from '#test/support/scoring-harness.js';
import { median, printRatios, type Ratio } from './report.js';

const rounds = 5;
const secondsPerRound = 2;
const clientScript = fileURLToPath(new URL('./scoring-client.js', import.meta.url));
const loopScript = fileURLToPath(new URL('./scoring-loop.js', import.meta.url));

interface Subject {
  readonly name: string;
  readonly file: string;
  readonly input: string;
  readonly shape: readonly number[];
  readonly connections: number;
  readonly goal?: Ratio['goal'];
}

const subjects: readonly Subject[] = [
  {
    name: 'convolutions',
    file: 'convolutions.onnx',
    input: 'x',
    shape: [1, 3, 224, 224],
    connections: 4,
    goal: { kind: 'at least', ratio: 0.95 },
  },
  { name: 'digits', file: 'digits.onnx', input: 'image', shape: [1, 1, 8, 8], connections: 16 },
  { name: 'mlp-64', file: 'mlp-64.onnx', input: 'x', shape: [1, 64], connections: 16 },
];

export async function run(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'flotilla-bench-'));
  const scoring = new Scoring();
  try {
    await writeFile(join(folder, 'convolutions.onnx'), convolutionModel({ layers: 8, channels: 24, size: 224 }));
    await copyFile(join(digitsFolder, 'model.onnx'), join(folder, 'digits.onnx'));
    await copyFile(join(fixtures, 'mlp-64.onnx'), join(folder, 'mlp-64.onnx'));
    const cores = cpuPinning();
    console.log(
      cores
        ? `client on core ${cores.client}, server and loop on core ${cores.server};`
        : 'taskset or a second core is missing: client and server share what there is;',
      `medians of ${String(rounds)} interleaved rounds of ${String(secondsPerRound)} s, batch 1`,
    );
    const ratios: Ratio[] = [];
    for (const subject of subjects) ratios.push(...(await measure(scoring, folder, subject, cores)));
    printRatios(ratios);
  } finally {
    await scoring.end();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(
  scoring: Scoring,
  folder: string,
  subject: Subject,
  cores: Cores | undefined,
): Promise<readonly Ratio[]> {
  const { host, url } = await scoring.serve([hostedModule(folder, subject.file, { name: subject.name })]);
  if (cores) execFileSync('taskset', ['-a', '-p', '-c', cores.server, String(host.pid)], { stdio: 'ignore' });
  const loop = new Peer(
    loopScript,
    [join(folder, subject.file), subject.input, subject.shape.join(',')],
    cores?.server,
  );
  const target = `${url}/v2/models/${subject.name}/infer`;
  const client = new Peer(
    clientScript,
    [target, subject.input, subject.shape.join(','), String(subject.connections)],
    cores?.client,
  );
  const bare: number[] = [];
  const served: number[] = [];
  const bareCpu: number[] = [];
  const servedCpu: number[] = [];
  for (let round = -1; round < rounds; round++) {
    const seconds = round < 0 ? 0.5 : secondsPerRound;
    const limit = await loop.round(seconds);
    const cpuBeforeMs = cpuMsOf(host.pid);
    const ours = await client.round(seconds);
    const cpuAfterMs = cpuMsOf(host.pid);
    // The first round warms up.
    if (round < 0) continue;
    bare.push(limit.rate);
    served.push(ours.rate);
    bareCpu.push((limit.count / (limit.cpuMs ?? Number.NaN)) * 1000);
    if (cpuBeforeMs !== undefined && cpuAfterMs !== undefined) {
      servedCpu.push((ours.count / (cpuAfterMs - cpuBeforeMs)) * 1000);
    }
  }
  loop.end();
  client.end();
  await host.drain(10_000);
  const ratio = {
    what: `${subject.name}, binary, ${String(subject.connections)} connections`,
    ours: median(served),
    limit: median(bare),
    unit: '/s',
  };
  const byCpu = { what: '  per second of CPU', ours: median(servedCpu), limit: median(bareCpu), unit: '/s' };
  return [subject.goal ? { ...ratio, goal: subject.goal } : ratio, ...(servedCpu.length > 0 ? [byCpu] : [])];
}

interface Round {
  readonly rate: number;
  readonly count: number;
  readonly cpuMs?: number;
}

/** CPU time of a process so far, as Linux tells it in ticks of 10 ms; undefined elsewhere. */
function cpuMsOf(pid: number): number | undefined {
  if (process.platform !== 'linux') return undefined;
  const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** A process that measures one round for each line we send. */
class Peer {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  constructor(script: string, args: readonly string[], core: string | undefined) {
    const command = [process.execPath, script, ...args];
    const pinned = core === undefined ? command : ['taskset', '-c', core, ...command];
    const [program = '', ...rest] = pinned;
    const child = spawn(program, rest, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ORT_DISABLE_TELEMETRY: '1' },
    });
    this.child = child;
    this.lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  async round(seconds: number): Promise<Round> {
    this.child.stdin?.write(`${String(seconds)}\n`);
    const line = await this.lines.next();
    if (line.done === true) throw new Error('a benchmark process ended');
    return JSON.parse(line.value) as Round;
  }

  end(): void {
    this.child.stdin?.end();
  }
}

interface Cores {
  readonly client: string;
  readonly server: string;
}

/** Two of the cores that this process may use. */
function cpuPinning(): Cores | undefined {
  try {
    const text = execFileSync('taskset', ['-c', '-p', String(process.pid)], { encoding: 'utf8' });
    const list = /: (.+)$/m.exec(text)?.[1] ?? '';
    const [client, server] = list.split(',').flatMap((part) => {
      const [from = 0, to = from] = part.split('-').map(Number);
      return Array.from({ length: to - from + 1 }, (_, index) => String(from + index));
    });
    return client === undefined || server === undefined ? undefined : { client, server };
  } catch {
    return undefined;
  }
}
