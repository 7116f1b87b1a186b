/**
 * A worker thread of a scoring host: the only place where onnxruntime runs, synchronously, off the
 * thread that speaks HTTP. It loads its models, then answers runs one after another until told to close;
 * it is never terminated from outside, which would abort the whole process in the middle of a run.
 */
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { AppError, toProblem } from '#shared/kernel/errors.js';
import { answerRun } from './answer-run.js';
import { OnnxSession } from './onnx-session.js';
import type { FromWorker, RunRequest, ToWorker, WorkerConfig } from './worker-protocol.js';

async function main(port: MessagePort, config: WorkerConfig): Promise<void> {
  const post = (message: FromWorker, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer);
  const sessions = new Map<string, OnnxSession>();
  try {
    for (const model of config.models) sessions.set(model.name, await OnnxSession.load(model, config.accelerators));
  } catch (error) {
    post({ type: 'load-failed', problem: toProblem(error) });
    return;
  }

  let last = Promise.resolve();
  const run = async (request: RunRequest): Promise<void> => {
    try {
      const session = sessions.get(request.model);
      if (!session) throw new AppError('model.not-found', `no model "${request.model}" in this worker`);
      const { body, jsonLength } = await answerRun(session, request);
      const answer = { type: 'answer', id: request.id, body } as const;
      post(jsonLength === undefined ? answer : { ...answer, jsonLength }, [body.buffer]);
    } catch (error) {
      // A bug in here is one request's failure to its caller, and a crash report to the log.
      if (!(error instanceof AppError))
        process.stderr.write(`${error instanceof Error ? (error.stack ?? '') : String(error)}\n`);
      post({ type: 'refused', id: request.id, problem: toProblem(error) });
    }
  };
  port.on('message', (message: ToWorker) => {
    switch (message.type) {
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

if (!parentPort) throw new Error('this file is the entry of a worker thread');
await main(parentPort, workerData as WorkerConfig);
