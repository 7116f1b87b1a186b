/**
 * What a device writes, recorded change by change, and what a power cut at any moment may leave of it:
 * un-synced writes gone, torn or full of nulls, names lost or out of order. Whatever was promised by then
 * (a call had ended) must be there when the device starts again.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CommandJournal } from '#agent/commands/command-journal.js';
import { BlobCache } from '#agent/store/blob-cache.js';
import { StateDocuments } from '#agent/store/state-documents.js';
import { prepareStateFolder, type StateFolder, stateFolder } from '#agent/store/state-folder.js';
import { takeStateLock } from '#agent/store/state-lock.js';
import { emptyBatch } from '#agent/telemetry/batch-content.js';
import { Spool } from '#agent/telemetry/spool.js';
import { digestOf } from '#shared/package/digest.js';
import type { Digest } from '#shared/protocol/primitives.js';
import { streamKinds, type StreamKind } from '#shared/protocol/stream.js';
import { type DiskEffect, watchDisk } from '../crash/disk-effects.js';
import { PowerCutDisk } from '../crash/power-cut.js';
import {
  type ChaosBounds,
  type ChaosOutcome,
  type ChaosRow,
  ChaosTally,
  type ChaosTopic,
  seededRandom,
} from './chaos.js';

export const topic: ChaosTopic = {
  name: 'power-cut',
  about: 'what a device wrote, cut off at any moment with un-synced writes dropped, torn or null',
  run: async (bounds) => [await cutEverywhere(bounds)],
};

/** What must be so after a cut at this moment. */
interface Promises {
  bootId: number;
  generation: number;
  desiredAt: string;
  readonly blobs: Set<Digest>;
  readonly commands: Set<string>;
  /** Last sequence that is spooled and up to which it is acknowledged, by kind and boot. */
  readonly spooled: Map<string, { last: number; acknowledged: number }>;
}

interface Moment {
  readonly effect: DiskEffect;
  /** As they were when the change was made. */
  readonly promises: Promises;
}

/** States of a default run by hand. */
const defaultRuns = 20_000;

export async function cutEverywhere({ runs = defaultRuns, seed, signal, say }: ChaosBounds): Promise<ChaosRow> {
  const tally = new ChaosTally('power cut, un-synced writes dropped, torn or null');
  const work = await mkdtemp(join(tmpdir(), 'flotilla-cut-'));
  try {
    const root = join(work, 'state');
    await mkdir(root);
    const moments = await record(root);
    say(`${String(moments.length)} changes`);
    const random = seededRandom(seed);
    for (let run = 0; run < runs && !signal.aborted; run++) {
      const at = Math.floor(random() * moments.length);
      const disk = new PowerCutDisk(root);
      for (const { effect } of moments.slice(0, at + 1)) disk.take(effect);
      const target = join(work, `cut-${String(run)}`);
      await mkdir(target);
      await disk.cut(target, random);
      await endHolder(target);
      const promises = moments[at]?.promises ?? nothingPromised();
      const wrong = await recover(target, promises).catch((error: unknown) => [`the start fails: ${String(error)}`]);
      const { op, path } = moments[at]?.effect ?? { op: 'nothing', path: root };
      tally.count(outcomeOf(wrong, `run ${String(run)}, after ${op} ${path.slice(root.length)}`));
      await rm(target, { recursive: true });
    }
    return tally.row();
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** The process that wrote was this one, which no cut has ended: its locks name one that is gone. */
async function endHolder(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    if (!name.startsWith('agent.lock')) continue;
    const text = await readFile(join(root, name), 'latin1');
    await writeFile(join(root, name), text.replace(/"pid":\d+/, `"pid":${String(2 ** 22 + 1)}`), 'latin1');
  }
}

function outcomeOf(wrong: readonly string[], where: string): ChaosOutcome {
  if (wrong.length === 0) return {};
  return { failure: `${where}: ${wrong.join('; ')}`, lost: wrong.length };
}

function nothingPromised(): Promises {
  return { bootId: 0, generation: 0, desiredAt: '', blobs: new Set(), commands: new Set(), spooled: new Map() };
}

function copyOf(promises: Promises): Promises {
  const spooled = new Map([...promises.spooled].map(([key, value]) => [key, { ...value }]));
  return { ...promises, blobs: new Set(promises.blobs), commands: new Set(promises.commands), spooled };
}

/** Does what a device does over a few boots, and notes every change with what was promised by then. */
async function record(root: string): Promise<Moment[]> {
  const moments: Moment[] = [];
  const promises = nothingPromised();
  const restore = await watchDisk({
    root,
    except: ['logs'],
    before: () => undefined,
    torn: () => undefined,
    after: (effect) => moments.push({ effect, promises: copyOf(promises) }),
  });
  try {
    for (let boot = 1; boot <= 3; boot++) await liveOneBoot(stateFolder(root), promises);
  } finally {
    restore();
  }
  return moments;
}

const at = (generation: number): string => `2026-01-01T00:00:0${String(generation)}.000Z`;

async function liveOneBoot(folder: StateFolder, promises: Promises): Promise<void> {
  await prepareStateFolder(folder);
  const lock = await takeStateLock(folder.lock);
  const documents = new StateDocuments(folder, () => undefined);
  promises.bootId = await documents.nextBootId(0);
  const { bootId } = promises;
  const blobs = new BlobCache(folder);
  const journal = await CommandJournal.open(folder.commands, () => undefined);
  const spools = await openSpools(folder, bootId);

  for (let step = 1; step <= 2; step++) {
    const generation = (bootId - 1) * 2 + step;
    const envelope = { payloadType: 't', payload: '', signatures: [{ keyid: String(generation), sig: '' }] };
    await documents.desired.write({ envelope, acceptedAt: at(generation) });
    promises.desiredAt = at(generation);
    const whole = Buffer.from(`a small blob of generation ${String(generation)}`);
    await blobs.put(digestOf(whole), whole);
    promises.blobs.add(digestOf(whole));
    const large = Buffer.alloc(3_000, generation);
    await writeFile(blobs.partialPathOf(digestOf(large)), large);
    await blobs.adoptPartial(digestOf(large));
    promises.blobs.add(digestOf(large));
    const id = `command-${String(generation)}`;
    await journal.begin(id, { issuedAt: at(generation), deadline: at(generation) });
    promises.commands.add(id);
    await documents.committed.write({ generation, modules: {}, kept: {} });
    promises.generation = generation;
    for (const kind of streamKinds) await spoolSome(spools[kind], kind, bootId, promises);
  }
  for (const kind of streamKinds) await spools[kind].close();
  await lock.release();
}

async function openSpools(folder: StateFolder, bootId: number): Promise<Record<StreamKind, Spool>> {
  const open = (kind: StreamKind): Promise<Spool> =>
    Spool.open({
      kind,
      folder: folder.spool(kind),
      bootId,
      // Room for few: what is dropped must be said after a cut as well.
      maxBytes: kind === 'telemetry' ? 24 * 1024 : 1024 * 1024,
      lived: () => 0,
      emptyBatch: () => emptyBatch(kind, at(1)),
      onDropped: () => undefined,
    });
  return { telemetry: await open('telemetry'), events: await open('events') };
}

async function spoolSome(spool: Spool, kind: StreamKind, bootId: number, promises: Promises): Promise<void> {
  const key = `${kind}/${String(bootId)}`;
  const said = promises.spooled.get(key) ?? { last: 0, acknowledged: 0 };
  promises.spooled.set(key, said);
  for (let n = 0; n < 8; n++) {
    said.last = (await spool.add({ ...emptyBatch(kind, at(1)), filler: 'x'.repeat(700) })).sequence;
  }
  said.acknowledged = said.last - 5;
  await spool.acknowledge(bootId, said.acknowledged);
}

/** Starts from what is left. @returns what is not as it was promised */
async function recover(root: string, promised: Promises): Promise<string[]> {
  const wrong: string[] = [];
  const folder = stateFolder(root);
  await prepareStateFolder(folder);
  const lock = await takeStateLock(folder.lock);
  const documents = new StateDocuments(folder, (path, what) => {
    if (what.includes('beyond repair')) wrong.push(`${path.slice(root.length)} is lost`);
  });
  const bootId = await documents.nextBootId(0);
  if (bootId <= promised.bootId) wrong.push(`boot ${String(bootId)} after ${String(promised.bootId)}`);
  const committed = (await documents.readOrLose(documents.committed))?.generation ?? 0;
  if (committed < promised.generation)
    wrong.push(`generation ${String(committed)}, not ${String(promised.generation)}`);
  const desired = (await documents.readOrLose(documents.desired))?.acceptedAt ?? '';
  if (desired < promised.desiredAt) wrong.push(`desired of ${desired}, not ${promised.desiredAt}`);
  const journal = await CommandJournal.open(folder.commands, () => undefined);
  for (const id of promised.commands) if (journal.look(id).kind === 'new') wrong.push(`${id} would be done again`);
  const blobs = new BlobCache(folder);
  for (const digest of promised.blobs) if (!(await blobs.has(digest))) wrong.push(`${digest} is gone`);
  for (const name of await readdir(folder.blobs)) {
    if (!/^[0-9a-f]{64}$/.test(name)) continue;
    if (digestOf(await readFile(join(folder.blobs, name))) !== `sha256:${name}`) wrong.push(`${name} has other bytes`);
  }
  const spools = await openSpools(folder, bootId);
  for (const kind of streamKinds) wrong.push(...(await lookAtSpool(spools[kind], kind, promised)));
  // It goes on working: one more of each, on top of whatever is left.
  await documents.committed.write({ generation: committed + 1, modules: {}, kept: {} });
  for (const kind of streamKinds) {
    await spools[kind].add(emptyBatch(kind, at(1)));
    await spools[kind].close();
  }
  await lock.release();
  return wrong;
}

/** Everything from the acknowledged on is there or said to be dropped, in order and readable. */
async function lookAtSpool(spool: Spool, kind: StreamKind, promised: Promises): Promise<string[]> {
  const wrong: string[] = [];
  const upTo = new Map<string, number>();
  for (const name of spool.pending(undefined, 10_000)) {
    const key = `${kind}/${String(name.bootId)}`;
    const message = await spool.read(name);
    if (message === undefined) {
      wrong.push(`${key}: batch ${String(name.sequence)} cannot be read`);
      continue;
    }
    const before = upTo.get(key) ?? promised.spooled.get(key)?.acknowledged ?? 0;
    const from = (message['droppedFrom'] as number | undefined) ?? name.sequence;
    if (from > before + 1) wrong.push(`${key}: nothing says what became of ${String(before + 1)}`);
    upTo.set(key, Math.max(before, name.sequence));
  }
  for (const [key, { last, acknowledged }] of promised.spooled) {
    if (!key.startsWith(kind) || last <= acknowledged) continue;
    const reached = upTo.get(key) ?? 0;
    if (reached < last) wrong.push(`${key}: ends at ${String(reached)}, not ${String(last)}`);
  }
  return wrong;
}
