/**
 * The first execution provider of a model's preference that takes it, and why each earlier one does not.
 * A provider that loads the model and then leaves every node to the CPU is a fallback too, which the
 * library does not report: it is seen in the profile of a first run, and counts as "does not take it".
 */
import * as ort from 'onnxruntime-node';
import { AppError } from '#shared/kernel/errors.js';
import { leftToOthers, type NodeCounts } from './node-counts.js';
import { loadReason } from './onnx-tensors.js';
import { createProfiled, type ProfiledSession } from './provider-profile.js';
import { providerReason } from './provider-reason.js';

export interface Fallback {
  readonly provider: string;
  readonly reason: string;
}

export interface ChosenSession {
  readonly session: ort.InferenceSession;
  readonly provider: string;
  readonly fallbacks: readonly Fallback[];
  /** What each node ran on; absent on `cpu`, where there is nothing else, and where it is unknown. */
  readonly nodes?: NodeCounts;
}

/** @throws AppError `model.unloadable` when no provider takes the model */
export async function chooseSession(
  model: { readonly name: string; readonly path: string },
  accelerators: readonly string[],
  options: ort.InferenceSession.SessionOptions,
): Promise<ChosenSession> {
  const fallbacks: Fallback[] = [];
  for (const provider of accelerators) {
    let made: ProfiledSession;
    try {
      made = await createOn(provider, model.path, options);
    } catch (error) {
      fallbacks.push({ provider, reason: providerReason(provider, loadReason(error)) });
      continue;
    }
    const { session, nodes } = made;
    const left = nodes === undefined ? undefined : leftToOthers(provider, nodes);
    if (left === undefined) return { session, provider, fallbacks, ...(nodes === undefined ? {} : { nodes }) };
    fallbacks.push({ provider, reason: left });
    await session.release();
  }
  const reasons = fallbacks.map(({ provider, reason }) => `${provider}: ${reason}`).join('; ');
  throw new AppError(
    'model.unloadable',
    `onnxruntime cannot load model "${model.name}" with any of its accelerators (${reasons})`,
    { details: { model: model.name, fallbacks } },
  );
}

async function createOn(
  provider: string,
  path: string,
  options: ort.InferenceSession.SessionOptions,
): Promise<ProfiledSession> {
  const onProvider = { ...options, executionProviders: [provider] };
  if (provider !== 'cpu') return createProfiled(path, onProvider);
  return { session: await ort.InferenceSession.create(path, onProvider), nodes: undefined };
}
