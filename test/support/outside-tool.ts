/**
 * Programs that are no npm packages: Mosquitto, skopeo and the like, which some tests hold our work
 * against. Where one is not installed the test skips and says so; under CI that is a failure, because
 * a check that nobody runs proves nothing.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { TestRunner } from 'vitest';

/** Daemons such as Mosquitto stand in folders that an ordinary user's PATH leaves out. */
const usualFolders = [
  '/usr/local/bin',
  '/usr/local/sbin',
  '/usr/bin',
  '/usr/sbin',
  '/opt/homebrew/bin',
  '/opt/homebrew/sbin',
];

/** Where the program is; undefined when it is not installed. Decides nothing about the test. */
export function findTool(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...usualFolders];
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find(isExecutable);
}

/**
 * The path of the program, for use inside a test. Without it the test is skipped from here on, or
 * fails under CI.
 */
export function outsideTool(name: string): string {
  const path = findTool(name);
  if (path !== undefined) return path;
  refuseUnderCi(name);
  TestRunner.getCurrentTest()?.context.skip(`${name} is not installed`);
  throw new Error(`${name} is not installed; outside a test ask hasOutsideTools('${name}') in describe.skipIf`);
}

/** For `describe.skipIf(!hasOutsideTools('mosquitto'))`. Throws under CI when one is missing. */
export function hasOutsideTools(...names: readonly string[]): boolean {
  const missing = names.filter((name) => findTool(name) === undefined);
  for (const name of missing) refuseUnderCi(name);
  if (missing.length > 0) console.warn(`skipped: ${missing.join(', ')} not installed`);
  return missing.length === 0;
}

function refuseUnderCi(name: string): void {
  if (process.env['CI'])
    throw new Error(`${name} is not installed; under CI every outside check runs (.ci/run installs it)`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
