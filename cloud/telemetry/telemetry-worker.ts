/** Entry of a telemetry thread: one database connection, calls answered in the order they come. */
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf, toProblem, type Problem } from '#shared/kernel/errors.js';
import { storeError } from '#cloud/store/sqlite.js';
import type { TelemetryPort } from './telemetry-port.js';
import { QuestionRepository } from './telemetry-questions.js';
import { TelemetryRepository } from './telemetry-repository.js';
import type { TelemetryWorkerData, WorkerCall, WorkerMessage, WorkerRequest } from './telemetry-worker-protocol.js';

const port = parentPort;
if (!port) throw new Error('telemetry-worker runs as a worker thread');
const send = (message: WorkerMessage): void => port.postMessage(message);

let store: Partial<TelemetryPort>;
try {
  const { path, task, tellsDevices } = workerData as TelemetryWorkerData;
  store =
    task === 'asks' ? await QuestionRepository.openToAsk(path) : await TelemetryRepository.open(path, { tellsDevices });
} catch (error) {
  send({ kind: 'failed', problem: problemOf(error) });
  process.exit(1);
}

let last: Promise<void> = Promise.resolve();
port.on('message', ({ id, call }: WorkerRequest) => {
  last = last.then(() => answer(id, call));
});
send({ kind: 'ready' });

async function answer(id: number, call: WorkerCall): Promise<void> {
  try {
    send({ kind: 'answer', id, value: await perform(call) });
  } catch (error) {
    send({ kind: 'problem', id, problem: problemOf(error) });
  }
  // Nothing else keeps the thread: it ends once this answer is out.
  if (call.kind === 'close') port?.close();
}

function perform({ kind, args }: WorkerCall): Promise<unknown> {
  // The types of both ends are one: the arguments are those of the method.
  const method = store[kind] as (...given: unknown[]) => Promise<unknown>;
  return method.apply(store, args);
}

/** The main thread logs it, so what SQLite said goes along. */
function problemOf(error: unknown): Problem {
  const known = storeError(error);
  if (known) return toProblem(known);
  const problem = toProblem(error);
  return problem.code === 'internal' ? { ...problem, message: `telemetry store: ${messageOf(error)}` } : problem;
}
