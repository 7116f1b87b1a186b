/**
 * The processes of a simulated fleet: started with an order each, heard line by line, ended by closing their input.
 * The program is an entry point of the agent; nothing of it is imported.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { AppError, isErrorCode } from '#shared/kernel/errors.js';
import { type SimulationCounts, simulationLineSchema, type SimulationOrder } from '#shared/protocol/simulation.js';

export interface SimulationEvents {
  /** Of all processes together, whenever one of them said something new. */
  readonly onCounts: (counts: SimulationCounts) => void;
  readonly onNote: (text: string) => void;
}

/** A connection a device, and what a process has open besides. */
const ownDescriptors = 64;

/**
 * Runs until the signal aborts.
 *
 * @returns what was counted at the end
 * @throws AppError what a process ran into, or `process.failed` where one ended by itself
 */
export async function runSimulation(
  orders: readonly SimulationOrder[],
  events: SimulationEvents,
  signal: AbortSignal,
): Promise<SimulationCounts> {
  const program = simulatorFile();
  requireDescriptors(orders);
  const counts = new Map<number, SimulationCounts>();
  const processes = orders.map((order) =>
    startProcess(program, order, {
      onCounts: (own) => {
        counts.set(order.process, own);
        events.onCounts(sumOf([...counts.values()]));
      },
      onNote: events.onNote,
    }),
  );
  const stop = (): void => {
    for (const { child } of processes) child.stdin?.end();
  };
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    await Promise.all(processes.map(({ ended }) => ended(signal)));
  } catch (error) {
    stop();
    await Promise.all(processes.map(({ gone }) => gone));
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
  return sumOf([...counts.values()]);
}

interface Simulator {
  readonly child: ChildProcess;
  /** Whatever its end. */
  readonly gone: Promise<string>;
  readonly ended: (signal: AbortSignal) => Promise<void>;
}

function startProcess(program: string, order: SimulationOrder, events: SimulationEvents): Simulator {
  const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'pipe'] });
  let lastWords = '';
  let failed: (error: AppError) => void = () => undefined;
  const failure = new Promise<never>((_, reject) => {
    failed = reject;
  });
  failure.catch(() => undefined);
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    lastWords = (lastWords + text).slice(-4096);
  });
  createInterface({ input: child.stdout }).on('line', (text) => {
    const line = simulationLineSchema.safeParse(parseJson(text));
    if (!line.success) return;
    switch (line.data.kind) {
      case 'counts':
        events.onCounts(line.data.counts);
        return;
      case 'note':
        events.onNote(line.data.text);
        return;
      case 'failed': {
        const { code, message, details } = line.data.problem;
        failed(new AppError(isErrorCode(code) ? code : 'process.failed', message, { details: details ?? {} }));
      }
    }
  });
  const gone = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, by) => resolve(by ?? String(code)));
  });
  // One that ends before it has read its order says so by its end.
  child.stdin.on('error', () => undefined);
  child.stdin.write(`${JSON.stringify(order)}\n`);
  const ended = async (signal: AbortSignal): Promise<void> => {
    const exit = await Promise.race([gone, failure]);
    if (signal.aborted) return;
    throw new AppError(
      'process.failed',
      `a process of simulated devices ended by itself (${exit}): ${lastWords.trim()}`,
    );
  };
  return { child, gone, ended };
}

/** Node takes all the descriptors that the system gives, which is then a device each. */
function requireDescriptors(orders: readonly SimulationOrder[]): void {
  const limit = openFileLimit();
  const most = Math.max(...orders.map(({ first, step, end }) => Math.ceil((end - first) / step)));
  if (limit === undefined || most + ownDescriptors <= limit) return;
  const processes = Math.ceil((most * orders.length) / (limit - ownDescriptors));
  throw new AppError(
    'request.invalid',
    `${String(most)} devices in one process need as many open files, and the system gives it ${String(limit)}: use --processes ${String(processes)}, or raise ulimit -n`,
  );
}

function openFileLimit(): number | undefined {
  const report = process.report.getReport() as {
    readonly userLimits?: { readonly open_files?: { readonly hard?: unknown } };
  };
  const limit = Number(report.userLimits?.open_files?.hard);
  return Number.isSafeInteger(limit) && limit > ownDescriptors ? limit : undefined;
}

/** @throws AppError `process.failed` where it was not built, or not installed */
function simulatorFile(): string {
  const places = ['../../agent/simulate/main.js', '../../dist/agent/simulate/main.js'];
  const paths = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  const found = paths.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new AppError(
    'process.failed',
    `the program of simulated devices is missing (looked for ${paths.join(', ')}): build first`,
  );
}

export function sumOf(counts: readonly SimulationCounts[]): SimulationCounts {
  const sum = (of: (one: SimulationCounts) => number): number => counts.reduce((total, one) => total + of(one), 0);
  return {
    devices: sum((one) => one.devices),
    enrolled: sum((one) => one.enrolled),
    connected: sum((one) => one.connected),
    converged: sum((one) => one.converged),
    rejected: sum((one) => one.rejected),
    failed: sum((one) => one.failed),
    documents: sum((one) => one.documents),
    refused: sum((one) => one.refused),
    connections: sum((one) => one.connections),
    reports: sum((one) => one.reports),
    batches: sum((one) => one.batches),
    stored: sum((one) => one.stored),
    commands: sum((one) => one.commands),
    fetchedBytes: sum((one) => one.fetchedBytes),
    rssBytes: sum((one) => one.rssBytes),
    cpuSeconds: sum((one) => one.cpuSeconds),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
