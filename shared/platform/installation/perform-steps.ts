/** Does the steps of an installation, one after another. What is done already is left as it is. */
import { execFile } from 'node:child_process';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { diskError, errno, syncFolder, writeFileAtomic } from '../atomic-file.js';
import { Accounts } from './accounts.js';
import type { InstallationStep, Owner } from './installation-step.js';
import { copyRelease } from './release-files.js';

const run = promisify(execFile);

export type Outcome = 'done' | 'unchanged';

export interface Machine {
  /** Where its files begin: `/`, or the folder of an image. */
  readonly root: string;
  /** Whether files can be given away: root's alone. */
  readonly isRoot: boolean;
}

/** @throws AppError `disk.failed`, `disk.full`, `state.corrupt` (a damaged archive), `process.failed` */
export async function performSteps(
  steps: readonly InstallationStep[],
  machine: Machine,
  onStep: (step: InstallationStep, outcome: Outcome) => void,
): Promise<void> {
  for (const step of steps) {
    try {
      onStep(step, await perform(step, machine));
    } catch (error) {
      throw error instanceof AppError ? error : diskError(error, `cannot do "${step.kind}"`);
    }
  }
}

async function perform(step: InstallationStep, machine: Machine): Promise<Outcome> {
  const at = (path: string): Promise<string> => placeIn(machine.root, path);
  const accounts = new Accounts(machine.root);
  switch (step.kind) {
    case 'group':
      return once((await accounts.group(step.name)) === undefined, () => accounts.addGroup(step.name));
    case 'user': {
      const { name, group, home } = step;
      return once((await accounts.user(name)) === undefined, () => accounts.addUser(name, group, home));
    }
    case 'folder': {
      const path = await at(step.path);
      await makeFolders(dirname(path));
      const isNew = (await mkdir(path).catch(alreadyThere)) !== 'there';
      const changed = await settle(path, step.mode, step.owner, accounts, machine);
      return isNew || changed ? 'done' : 'unchanged';
    }
    case 'release':
      return copyRelease(step.from, await at(step.to));
    case 'link':
      return link(await at(step.path), step.to);
    case 'file': {
      const path = await at(step.path);
      const text = await readFile(path, 'utf8').catch(() => undefined);
      const writes = text === undefined || (!step.keep && text !== step.text);
      await makeFolders(dirname(path));
      if (writes) await writeFileAtomic(path, step.text, { mode: step.mode });
      const changed = await settle(path, step.mode, step.owner, accounts, machine);
      return writes || changed ? 'done' : 'unchanged';
    }
    case 'prune': {
      const folder = await at(step.folder);
      const names = await readdir(folder).catch(() => []);
      const old = names.filter((name) => !step.keep.includes(name));
      for (const name of old) await rm(join(folder, name), { recursive: true, force: true });
      return old.length > 0 ? 'done' : 'unchanged';
    }
    case 'remove': {
      const path = await at(step.path);
      const isThere = (await lstat(path).catch(() => undefined)) !== undefined;
      return once(isThere, () => rm(path, { recursive: true, force: true }));
    }
    case 'remove-user':
      return once((await accounts.user(step.name)) !== undefined, () => accounts.removeUser(step.name));
    case 'remove-group':
      return once((await accounts.group(step.name)) !== undefined, () => accounts.removeGroup(step.name));
    case 'systemctl':
      return systemctl(step.args, step.mayFail);
  }
}

/** Links of an image may lead to files of this machine, which are none of its. */
async function placeIn(root: string, path: string): Promise<string> {
  const place = join(root, path);
  if (root === '/') return place;
  const top = await realpath(root);
  for (let folder = dirname(place); folder.length >= root.length; folder = dirname(folder)) {
    const is = await realpath(folder).catch(() => undefined);
    // Not there yet: what it will lie in is.
    if (is === undefined) continue;
    if (is === top || is.startsWith(`${top}/`)) return place;
    throw new AppError('request.invalid', `${folder} leads out of the image, to ${is}: make it a relative link`);
  }
  return place;
}

async function once(isNeeded: boolean, act: () => Promise<void>): Promise<Outcome> {
  if (!isNeeded) return 'unchanged';
  await act();
  return 'done';
}

/** Folders of the system itself, where an image lacks them. */
async function makeFolders(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o755 });
}

function alreadyThere(error: unknown): 'there' {
  if (errno(error) === 'EEXIST') return 'there';
  throw error;
}

/** Mode and owner as they should be, whatever the umask. @returns whether they were not */
async function settle(
  path: string,
  mode: number,
  owner: Owner,
  accounts: Accounts,
  { isRoot }: Machine,
): Promise<boolean> {
  const is = await stat(path);
  const wrongMode = (is.mode & 0o7777) !== mode;
  if (wrongMode) await chmod(path, mode);
  if (!isRoot) return wrongMode;
  const uid = owner.user === undefined ? 0 : ((await accounts.user(owner.user)) ?? 0);
  const gid = owner.group === undefined ? 0 : ((await accounts.group(owner.group)) ?? 0);
  const wrongOwner = is.uid !== uid || is.gid !== gid;
  if (wrongOwner) await chown(path, uid, gid);
  return wrongMode || wrongOwner;
}

/** In one step, so that at no instant there is none. */
async function link(path: string, to: string): Promise<Outcome> {
  if ((await readlink(path).catch(() => undefined)) === to) return 'unchanged';
  const is = await lstat(path).catch(() => undefined);
  if (is !== undefined && !is.isSymbolicLink()) {
    throw new AppError('disk.failed', `${path} is there and no link of ours: move it away, and run this again`);
  }
  await makeFolders(dirname(path));
  const fresh = `${path}.new`;
  await rm(fresh, { force: true });
  await symlink(to, fresh);
  await rename(fresh, path);
  await syncFolder(dirname(path));
  return 'done';
}

async function systemctl(args: readonly string[], mayFail: boolean): Promise<Outcome> {
  try {
    await run('systemctl', [...args], { timeout: 120_000 });
    return 'done';
  } catch (error) {
    if (mayFail) return 'unchanged';
    throw new AppError('process.failed', `systemctl ${args.join(' ')}: ${messageOf(error)}; see journalctl -xe`, {
      cause: error,
    });
  }
}
