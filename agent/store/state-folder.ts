/**
 * Where everything lies in the state folder. One daemon owns it (see state-lock.ts); all that must
 * survive a power cut is below `root`, and what is in `run` is made anew at each start.
 */
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import { diskError, syncFolder } from '#shared/platform/atomic-file.js';
import { type SpooledKind, spooledKinds } from '#shared/protocol/stream.js';
import { passableFolder } from '#shared/supervisor/sandbox/machine-sandbox.js';

/** A path of a Unix socket that is longer is cut or refused by the kernel (sun_path, 108 with the final null). */
const maxSocketPath = 103;

export interface StateFolder {
  readonly root: string;
  readonly identity: string;
  /** Whom the device believes. */
  readonly trust: string;
  readonly pendingEnrolment: string;
  /** For who may load and unload models over HTTP, on this device only. */
  readonly controlToken: string;
  /** Digests of the keys of who may score, on this device only. */
  readonly scoringKeys: string;
  readonly lock: string;
  readonly ballast: string;
  readonly socket: string;
  readonly desired: string;
  readonly committed: string;
  readonly rejections: string;
  /** Versions on probation. */
  readonly probation: string;
  /** Versions that a person at the device went back to. */
  readonly holds: string;
  readonly boot: string;
  /** The device's age clock. */
  readonly lived: string;
  readonly blobs: string;
  readonly partial: string;
  readonly modules: string;
  /** Libraries of execution providers that were installed. */
  readonly providers: string;
  readonly commands: string;
  /** Folders that routes watch, and files that they write, unless the settings name others. */
  readonly incoming: string;
  readonly answers: string;
  /** Where what is posted to routes arrives. */
  readonly routesSocket: string;
  /** Sampled requests and answers of modules that ask for it. */
  readonly capture: string;
  /** What hosts are to collect for the control plane, and what they have. */
  readonly collect: string;
  readonly logs: string;
  /** The last support bundle that the control plane asked for. */
  readonly bundle: string;
  spool(kind: SpooledKind): string;
}

export function stateFolder(root: string): StateFolder {
  return {
    root,
    identity: join(root, 'identity.json'),
    trust: join(root, 'trust.json'),
    pendingEnrolment: join(root, 'enrolment-pending.json'),
    controlToken: join(root, 'control-token'),
    scoringKeys: join(root, 'scoring-keys.json'),
    lock: join(root, 'agent.lock'),
    ballast: join(root, 'ballast'),
    socket: join(root, 'agent.sock'),
    desired: join(root, 'desired.json'),
    committed: join(root, 'committed.json'),
    rejections: join(root, 'rejections.json'),
    probation: join(root, 'probation.json'),
    holds: join(root, 'holds.json'),
    boot: join(root, 'boot.json'),
    lived: join(root, 'lived.json'),
    blobs: join(root, 'blobs', 'sha256'),
    partial: join(root, 'partial'),
    modules: join(root, 'modules'),
    providers: join(root, 'providers'),
    commands: join(root, 'commands'),
    incoming: join(root, 'incoming'),
    answers: join(root, 'answers'),
    routesSocket: join(root, 'in.sock'),
    capture: join(root, 'capture'),
    collect: join(root, 'collect'),
    logs: join(root, 'logs'),
    bundle: join(root, 'bundle.tar.gz'),
    spool: (kind) => join(root, 'spool', kind),
  };
}

/** Makes the folders that are missing. The root is its owner's alone: it holds the device's secret. */
export async function prepareStateFolder(folder: StateFolder): Promise<void> {
  if (Buffer.byteLength(folder.socket) > maxSocketPath) {
    throw new AppError(
      'config.invalid',
      `the state folder ${folder.root} has too long a path for the socket in it (at most ${String(maxSocketPath)} bytes for ${folder.socket}); choose a shorter one with --state-dir`,
    );
  }
  try {
    await mkdir(folder.root, { recursive: true, mode: 0o700 });
    await chmod(folder.root, 0o700);
    const parents = new Set([dirname(folder.root)]);
    const inner = [folder.blobs, folder.partial, folder.modules, folder.commands, folder.logs];
    for (const path of [...inner, ...spooledKinds.map((kind) => folder.spool(kind))]) {
      await mkdir(path, { recursive: true });
      parents.add(dirname(path));
    }
    // Else a power cut could take a folder away with all that was synced in it.
    for (const path of parents) await syncFolder(path);
  } catch (error) {
    throw diskError(error, `cannot prepare the state folder ${folder.root}`);
  }
}

/** Clears what belongs to one device. Blobs stay, as they are named by what they are, and so does the boot counter. */
export async function forgetDevice(folder: StateFolder): Promise<void> {
  const { trust, desired, committed, rejections, probation, holds, scoringKeys } = folder;
  const documents = [trust, desired, committed, rejections, probation, holds, scoringKeys].flatMap((path) => [
    path,
    `${path}.previous`,
  ]);
  documents.push(folder.controlToken, folder.bundle);
  const kept = [folder.commands, folder.capture, folder.collect, folder.logs];
  const folders = [...kept, ...spooledKinds.map((kind) => folder.spool(kind))];
  for (const path of [...documents, ...folders]) await rm(path, { recursive: true, force: true });
  await prepareStateFolder(folder);
}

/**
 * A fresh folder for the sockets of hosts: in the state folder, or where its path is too long, elsewhere.
 *
 * @param where `outside`: other users may pass through it, where they know the way
 */
export async function makeRunFolder(folder: StateFolder, where: 'inside' | 'outside' = 'inside'): Promise<string> {
  const inside = join(folder.root, 'run');
  if (where === 'outside') return passableFolder();
  if (Buffer.byteLength(inside) + 32 > maxSocketPath) return mkdtemp(join(tmpdir(), 'flotilla-run-'));
  await rm(inside, { recursive: true, force: true });
  await mkdir(inside, { mode: 0o700 });
  return inside;
}
