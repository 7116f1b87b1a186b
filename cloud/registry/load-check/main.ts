/**
 * A process of its own that lets onnxruntime load one model and says whether it could, and whether a
 * scoring host would serve it. A model that makes the native library crash takes only this process with it.
 */
import { messageOf } from '#shared/kernel/errors.js';
import type { LoadVerdict } from './protocol.js';

async function check(path: string): Promise<LoadVerdict> {
  const { InferenceSession } = await import('onnxruntime-node');
  const { loadReason, modelSignature } = await import('#shared/scoring/worker/onnx-tensors.js');
  let session: Awaited<ReturnType<typeof InferenceSession.create>>;
  try {
    session = await InferenceSession.create(path, {
      executionProviders: ['cpu'],
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      logSeverityLevel: 4,
    });
  } catch (error) {
    return { loads: false, by: 'onnxruntime', reason: loadReason(error) };
  }
  try {
    const { inputs, outputs, notServed = [] } = modelSignature(session);
    const names = (ports: readonly { readonly name: string }[]) => ports.map(({ name }) => name);
    return {
      loads: true,
      inputs: names(inputs),
      outputs: names(outputs),
      notServed: notServed.map(({ reason }) => reason),
    };
  } catch (error) {
    return { loads: false, by: 'scoring host', reason: messageOf(error) };
  }
}

const path = process.argv[2];
if (path === undefined || process.send === undefined) throw new Error('load-check is started by the control plane');
process.send(await check(path), () => {
  process.exit(0);
});
