/** Runs the check model on one provider and on the CPU, in this process. */
import * as ort from 'onnxruntime-node';
import { messageOf } from '#shared/kernel/errors.js';
import { createProfiled } from '../worker/provider-profile.js';
import { providerReason } from '../worker/provider-reason.js';
import { checkInput, checkModel, checkOutput, checkValues } from './check-model.js';
import type { ProviderFinding } from './check-protocol.js';

/** The first runs of a provider compile; the fastest of the next few is what it can do. */
const warmUps = 2;
const timedRuns = 10;
/** A software driver takes a second a run: enough is known then. */
const timingBudgetMs = 2000;

const options: ort.InferenceSession.SessionOptions = { intraOpNumThreads: 1, interOpNumThreads: 1 };

export async function checkProvider(provider: string): Promise<ProviderFinding> {
  const model = checkModel();
  const feeds = { [checkInput.name]: new ort.Tensor('float32', checkValues(), checkInput.shape) };
  const cpu = await ort.InferenceSession.create(model, { ...options, executionProviders: ['cpu'] });
  const expected = await measure(cpu, feeds);
  await cpu.release();
  try {
    const { session, nodes } = await createProfiled(model, { ...options, executionProviders: [provider] });
    const got = await measure(session, feeds);
    await session.release();
    return {
      type: 'ran',
      difference: relativeDifference(expected.values, got.values),
      runMs: got.runMs,
      cpuMs: expected.runMs,
      ...(nodes === undefined ? {} : { nodes }),
    };
  } catch (error) {
    return { type: 'refused', reason: providerReason(provider, messageOf(error)) };
  }
}

async function measure(
  session: ort.InferenceSession,
  feeds: Record<string, ort.Tensor>,
): Promise<{ readonly values: Float32Array; readonly runMs: number }> {
  let values = new Float32Array();
  let runMs = Number.POSITIVE_INFINITY;
  const start = performance.now();
  for (let run = 0; run < warmUps + timedRuns; run++) {
    const before = performance.now();
    const output = (await session.run(feeds))[checkOutput];
    const ms = performance.now() - before;
    values = Float32Array.from(output?.data as Float32Array);
    if (run >= warmUps) runMs = Math.min(runMs, ms);
    if (run >= warmUps && performance.now() - start > timingBudgetMs) break;
  }
  return { values, runMs };
}

/** Infinite where the answer has another length or is no number. */
export function relativeDifference(expected: Float32Array, got: Float32Array): number {
  if (expected.length !== got.length) return Number.POSITIVE_INFINITY;
  let distance = 0;
  let scale = 0;
  for (let index = 0; index < expected.length; index++) {
    const want = expected[index] ?? Number.NaN;
    const apart = Math.abs(want - (got[index] ?? Number.NaN));
    if (Number.isNaN(apart)) return Number.POSITIVE_INFINITY;
    distance = Math.max(distance, apart);
    scale = Math.max(scale, Math.abs(want));
  }
  return scale === 0 ? distance : distance / scale;
}
