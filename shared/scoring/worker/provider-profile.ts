/**
 * Which execution provider each node of a model really ran on, read from onnxruntime's own profile of one
 * run on made-up inputs. A session that was made on an accelerator may still run any of its nodes, or all,
 * on the CPU, and says so nowhere else. The profile lies in a private temporary folder, gone afterwards;
 * where it cannot be had (no inputs that the model takes, a full disk) the answer is "unknown", no failure.
 */
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { madeUpInputs } from './made-up-inputs.js';
import { countNodes, type NodeCounts } from './node-counts.js';
import { signatureOf, toOnnx } from './onnx-tensors.js';

export interface ProfiledSession {
  readonly session: ort.InferenceSession;
  /** Undefined: unknown. */
  readonly nodes: NodeCounts | undefined;
}

/** A profile of one run is well below; that of a loop over a million nodes is not worth its reading. */
const maxProfileBytes = 64 * 1024 * 1024;
/** Sizes tried for free dimensions after the first: a convolution has no use for one pixel. */
const freeSizes = [1, 32];

/** @throws what the library throws when the provider or the model does not load */
export async function createProfiled(
  model: string | Uint8Array,
  options: ort.InferenceSession.SessionOptions,
): Promise<ProfiledSession> {
  const folder = await mkdtemp(join(tmpdir(), 'flotilla-profile-')).catch(() => undefined);
  if (folder === undefined) return { session: await create(model, options), nodes: undefined };
  try {
    const session = await create(model, {
      ...options,
      enableProfiling: true,
      profileFilePrefix: join(folder, 'run'),
    });
    const ran = await runOnce(session);
    session.endProfiling();
    return { session, nodes: ran ? await readProfile(folder) : undefined };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The library takes a path or bytes, by two signatures. */
function create(
  model: string | Uint8Array,
  options: ort.InferenceSession.SessionOptions,
): Promise<ort.InferenceSession> {
  return typeof model === 'string'
    ? ort.InferenceSession.create(model, options)
    : ort.InferenceSession.create(model, options);
}

async function runOnce(session: ort.InferenceSession): Promise<boolean> {
  for (const freeSize of freeSizes) {
    try {
      const row = madeUpInputs(signatureOf(session.inputMetadata), { seed: 1, freeSize });
      if (row === undefined) return false;
      await session.run(Object.fromEntries(row.map((tensor) => [tensor.name, toOnnx(tensor)])));
      return true;
    } catch {
      // Not what the model takes, or can be given.
    }
  }
  return false;
}

async function readProfile(folder: string): Promise<NodeCounts | undefined> {
  try {
    const [name] = await readdir(folder);
    if (name === undefined) return undefined;
    const path = join(folder, name);
    if ((await stat(path)).size > maxProfileBytes) return undefined;
    return countNodes(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return undefined;
  }
}
