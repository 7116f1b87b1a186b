/**
 * A worker thread of a scoring host, where onnxruntime runs, synchronously, off the thread that speaks
 * HTTP. It loads the models that it is told, then answers groups one after another until told to close; it is never
 * terminated from outside, which would abort the whole process in the middle of a run.
 */
import { parentPort, type MessagePort } from 'node:worker_threads';
import { type Problem, toProblem } from '#shared/kernel/errors.js';
import { minPooledBytes } from '../buffer-pool.js';
import { answerGroup, type GroupAnswer, type GroupResult } from './answer-group.js';
import { OnnxSession } from './onnx-session.js';
import type { FromWorker, GroupRequest, ToWorker, WorkerAnswer, WorkerConfig } from './worker-protocol.js';

async function load(port: MessagePort, config: WorkerConfig): Promise<void> {
  const post = (message: FromWorker, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer);
  const sessions = new Map<string, OnnxSession>();
  try {
    for (const model of config.models) {
      sessions.set(model.name, await OnnxSession.load(model, config.accelerators, config.scoring, model.traits));
    }
  } catch (error) {
    post({ type: 'load-failed', problem: toProblem(error) });
    return;
  }

  let last = Promise.resolve();
  const run = async (group: GroupRequest): Promise<void> => {
    const { answers, runs, seen } = await answer(sessions.get(group.model), group);
    const transfer: ArrayBuffer[] = [];
    const sent = answers.map((one): WorkerAnswer => {
      if (!one.ok) return { problem: one.problem };
      transfer.push(one.response.body.buffer);
      return one.response;
    });
    const spent = group.requests.map(({ buffer }) => buffer).filter(({ byteLength }) => byteLength >= minPooledBytes);
    post({ type: 'ran', id: group.id, answers: sent, runs, seen, spent }, [...transfer, ...spent]);
  };
  port.on('message', (message: ToWorker) => {
    switch (message.type) {
      case 'load':
        throw new Error('a worker loads once');
      case 'run':
        last = last.then(() => run(message));
        return;
      case 'close':
        port.close();
        last = last.then(async () => {
          for (const session of sessions.values()) await session.release();
        });
        return;
    }
  });
  post({ type: 'loaded', models: [...sessions.values()].map(({ loaded }) => loaded) });
}

async function answer(session: OnnxSession | undefined, group: GroupRequest): Promise<GroupResult> {
  const all = (problem: Problem): GroupResult => ({
    answers: group.requests.map((): GroupAnswer => ({ ok: false, problem })),
    runs: [],
  });
  if (!session) return all({ code: 'model.not-found', message: `no model "${group.model}" in this worker` });
  try {
    return await answerGroup(session, group.identity, group.requests, reportBug);
  } catch (error) {
    reportBug(error);
    return all(toProblem(error));
  }
}

/** Its callers get `internal`; the log of the process gets the cause. */
function reportBug(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? '') : String(error)}\n`);
}

if (!parentPort) throw new Error('this file is the entry of a worker thread');
const port = parentPort;
port.once('message', (message: ToWorker) => {
  if (message.type === 'load') void load(port, message.config);
  else port.close();
});
