/** What a confined program may see of this machine's files: the system's programs, its own, and little else. */
import { lstatSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import type { ViewPart } from './sandbox-command.js';

const systemFolders = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/nix/store', '/gnu/store'];
const systemFiles = ['/etc/ld.so.cache', '/etc/localtime', '/etc/nsswitch.conf', '/etc/alternatives'];
const networkFiles = ['/etc/resolv.conf', '/etc/hosts', '/etc/services', '/etc/gai.conf', '/etc/ssl', '/etc/pki'];
const certificates = ['/etc/ca-certificates', '/usr/share/ca-certificates'];
const devices = ['/dev/null', '/dev/zero', '/dev/full', '/dev/random', '/dev/urandom'];

export interface ViewInput {
  /** Files and folders of programs that run in it. */
  readonly programs: readonly string[];
  /** Read-only. */
  readonly folders: readonly string[];
  /** Never to be seen, unless a part of it is among `folders`. */
  readonly secrets: readonly string[];
  readonly network: boolean;
  readonly temporaryBytes: number;
}

export function viewOf({ programs, folders, secrets, network, temporaryBytes }: ViewInput): ViewPart[] {
  const parts: ViewPart[] = [{ kind: 'temporary', path: '/tmp', bytes: temporaryBytes }];
  for (const path of systemFolders) parts.push(...systemFolder(path));
  for (const path of [...systemFiles, ...(network ? [...networkFiles, ...certificates] : [])].filter(isThere))
    parts.push({ kind: 'bind', path, mode: 'data' });
  for (const path of devices.filter(isThere)) parts.push({ kind: 'bind', path, mode: 'device' });
  const shown = (path: string): boolean =>
    parts.some((part) => part.kind === 'bind' && (part.path === path || isBelow(path, part.path)));
  for (const path of programs.filter((one) => !shown(one))) parts.push({ kind: 'bind', path, mode: 'program' });
  for (const path of secrets.filter(shown)) parts.push({ kind: 'hide', path });
  for (const path of folders) parts.push({ kind: 'bind', path, mode: 'data' });
  return parts;
}

/** What a program's file needs around it: its package, where it is in one, or the bundle that it is part of. */
export function programPaths(entry: string): string[] {
  const root = /^(.*)\/dist\/(?:agent-bundle\/|shared\/)scoring\//.exec(entry)?.[1];
  if (root === undefined) return [join(dirname(entry), '..', '..')];
  return ['package.json', 'dist', 'node_modules'].map((name) => join(root, name)).filter(isThere);
}

/** Node itself, where it does not lie in a system's folder. */
export function nodePath(): string {
  return realpathSync(process.execPath);
}

export function isBelow(path: string, folder: string): boolean {
  return path.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`);
}

function systemFolder(path: string): ViewPart[] {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return [];
  if (stat.isSymbolicLink()) return [{ kind: 'link', path, to: readlinkSync(path) }];
  return [{ kind: 'bind', path, mode: 'program' }];
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
