/**
 * A process of its own that lets onnxruntime load one model and says whether it could. A model that makes
 * the native library crash takes only this process with it.
 */
import type { LoadVerdict } from './protocol.js';

async function check(path: string): Promise<LoadVerdict> {
  const { InferenceSession } = await import('onnxruntime-node');
  try {
    const session = await InferenceSession.create(path, {
      executionProviders: ['cpu'],
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      logSeverityLevel: 4,
    });
    return { loads: true, inputs: session.inputNames, outputs: session.outputNames };
  } catch (error) {
    return { loads: false, reason: error instanceof Error ? error.message : String(error) };
  }
}

const path = process.argv[2];
if (path === undefined || process.send === undefined) throw new Error('load-check is started by the control plane');
process.send(await check(path), () => {
  process.exit(0);
});
