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
import { madeUpFeeds } from './made-up-feeds.js';

/** Nodes by provider, for example `{webgpu: 117, cpu: 3}`. */
export type NodeCounts = Readonly<Record<string, number>>;

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
    const feeds = madeUpFeeds(session.inputMetadata, freeSize);
    if (feeds === undefined) return false;
    try {
      await session.run(feeds);
      return true;
    } catch {
      // Not what the model takes.
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

/**
 * @param profile onnxruntime's list of events: those of a node's kernel name its provider
 * @returns undefined when no node is in it
 */
export function countNodes(profile: unknown): NodeCounts | undefined {
  if (!Array.isArray(profile)) return undefined;
  const providers = new Map<string, string>();
  for (const event of profile as readonly unknown[]) {
    if (!isRecord(event) || event['cat'] !== 'Node' || !isRecord(event['args'])) continue;
    const { provider, node_index: index } = event['args'];
    if (typeof provider !== 'string' || provider === '') continue;
    // A node in a loop has an event for each turn.
    providers.set(`${String(event['name'])} ${String(index)}`, shortName(provider));
  }
  if (providers.size === 0) return undefined;
  const counts: Record<string, number> = {};
  for (const provider of providers.values()) counts[provider] = (counts[provider] ?? 0) + 1;
  return counts;
}

/** `WebGpuExecutionProvider` is what is asked for as `webgpu`. */
function shortName(provider: string): string {
  return provider.replace(/ExecutionProvider$/, '').toLowerCase();
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
