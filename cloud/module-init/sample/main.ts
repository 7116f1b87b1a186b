/**
 * A process of its own that runs the model of a new module once and says what it takes and gives. A model
 * that makes the native library crash takes only this process with it.
 */
import { readFile } from 'node:fs/promises';
import { messageOf } from '#shared/kernel/errors.js';
import type { SampleVerdict } from './protocol.js';

async function sample(path: string, examplePath: string | undefined): Promise<SampleVerdict> {
  const { InferenceSession } = await import('onnxruntime-node');
  const { loadReason } = await import('#shared/scoring/worker/onnx-tensors.js');
  const { sampleOf } = await import('./run-model.js');
  let session: Awaited<ReturnType<typeof InferenceSession.create>>;
  try {
    session = await InferenceSession.create(path, { executionProviders: ['cpu'], logSeverityLevel: 4 });
  } catch (error) {
    return { ok: false, reason: `onnxruntime cannot load it: ${loadReason(error)}` };
  }
  try {
    const example = examplePath === undefined ? undefined : Uint8Array.from(await readFile(examplePath));
    return { ok: true, sample: await sampleOf(session, example) };
  } catch (error) {
    return { ok: false, reason: messageOf(error) };
  }
}

const [path, example] = process.argv.slice(2);
if (path === undefined || process.send === undefined) throw new Error('this is started by flotilla module init');
process.send(await sample(path, example), () => {
  process.exit(0);
});
