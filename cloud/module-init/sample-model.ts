/** What the model of a new module takes and gives, and one exchange with it, found out in a process of its own. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { AppError } from '#shared/kernel/errors.js';
import { builtProgram } from '#cloud/lifecycle/built-program.js';
import type { Sample, SampleVerdict } from './sample/protocol.js';

const timeoutMs = 120_000;

/**
 * @param model path of the ONNX file
 * @param example path of a V2 request in JSON to ask it with; made up where there is none
 * @throws AppError `model.unloadable` with what onnxruntime or a scoring host says of the model, or of the example
 */
export async function sampleModel(model: string, example: string | undefined, signal: AbortSignal): Promise<Sample> {
  const child = fork(builtProgram('module-init/sample/main.js'), example === undefined ? [model] : [model, example], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    execArgv: [],
    env: { ORT_DISABLE_TELEMETRY: '1', PATH: '/usr/bin:/bin' },
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    killSignal: 'SIGKILL',
  });
  let verdict: SampleVerdict | undefined;
  child.on('message', (message) => {
    verdict = message as SampleVerdict;
  });
  try {
    await once(child, 'close');
  } catch (error) {
    signal.throwIfAborted();
    throw new AppError('model.unloadable', `${model}: one run took more than ${String(timeoutMs / 1000)} s`, {
      cause: error,
    });
  }
  if (verdict?.ok === true) return verdict.sample;
  const reason = verdict?.reason ?? 'onnxruntime crashed while it ran it';
  throw new AppError('model.unloadable', `${model}: ${reason}`);
}
