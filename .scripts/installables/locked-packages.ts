// What package-lock.json has for production on one platform: the folders below node_modules that go along.
import type { Platform } from './platforms.js';

interface LockEntry {
  readonly version?: string;
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
}

export interface LockedPackage {
  /** For example `node_modules/zod`. */
  readonly path: string;
  readonly name: string;
  readonly version: string;
  readonly integrity: string;
}

export function productionPackages(lock: string, { os, cpu }: Platform): LockedPackage[] {
  const { packages } = JSON.parse(lock) as { packages: Readonly<Record<string, LockEntry>> };
  return Object.entries(packages).flatMap(([path, entry]) => {
    const { version, integrity } = entry;
    if (path === '' || entry.dev === true || version === undefined || integrity === undefined) return [];
    if (!allows(entry.os, os) || !allows(entry.cpu, cpu)) return [];
    // The Node of these archives is linked against glibc.
    if (path.endsWith('-musl')) return [];
    return [{ path, name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length), version, integrity }];
  });
}

/** As npm reads these lists: named, or not excluded. */
function allows(list: readonly string[] | undefined, word: string): boolean {
  if (list === undefined) return true;
  const named = list.filter((one) => !one.startsWith('!'));
  return !list.includes(`!${word}`) && (named.length === 0 || named.includes(word));
}
