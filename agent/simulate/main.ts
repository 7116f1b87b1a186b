/**
 * A process of a simulated fleet, as `flotilla simulate` starts it: one order on standard input, then lines of what is
 * so on standard output, until standard input ends.
 */
import { createInterface } from 'node:readline';
import { systemClock } from '#shared/kernel/clock.js';
import { AppError, toProblem } from '#shared/kernel/errors.js';
import { describeIssues } from '#shared/protocol/decode.js';
import { type SimulationLine, type SimulationOrder, simulationOrderSchema } from '#shared/protocol/simulation.js';
import { Simulation } from './simulation.js';

const countEveryMs = 1_000;

function say(line: SimulationLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function readOrder(text: string): SimulationOrder {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AppError('request.invalid', 'the order is no JSON: flotilla simulate starts this program', { cause });
  }
  const parsed = simulationOrderSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new AppError('request.invalid', `the order is none: ${describeIssues(parsed.error)}`);
}

// Who started this and is gone reads nothing any more.
process.stdout.on('error', () => process.exit(0));
// The terminal's Ctrl-C reaches all; the one who started us says when to stop, by closing our input.
process.on('SIGINT', () => undefined);

const lines = createInterface({ input: process.stdin });
let simulation: Simulation | undefined;
let counting: NodeJS.Timeout | undefined;

async function stop(): Promise<void> {
  clearInterval(counting);
  if (simulation !== undefined) {
    say({ kind: 'counts', counts: simulation.counts() });
    await simulation.stop();
  }
  process.exit(0);
}

lines.once('line', (text) => {
  const run = async (): Promise<void> => {
    simulation = new Simulation(readOrder(text), {
      clock: systemClock,
      note: (note) => say({ kind: 'note', text: note }),
    });
    const { counts } = simulation;
    const count = (): void => say({ kind: 'counts', counts: counts.call(simulation) });
    counting = setInterval(count, countEveryMs);
    await simulation.run();
  };
  run().catch((error: unknown) => {
    const problem = toProblem(error);
    say({ kind: 'failed', problem: { ...problem, details: { ...problem.details } } });
    if (!(error instanceof AppError)) throw error;
  });
});
lines.once('close', () => void stop());
process.once('SIGTERM', () => void stop());
