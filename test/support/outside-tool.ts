/**
 * Programs that are no npm packages: Mosquitto, skopeo and the like, which some tests hold our work
 * against. Where one is not installed the test skips and says so; under CI that is a failure, because
 * a check that nobody runs proves nothing.
 */
import { createHash } from 'node:crypto';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
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

const repository = fileURLToPath(new URL(import.meta.url.includes('/dist/') ? '../../../' : '../../', import.meta.url));

/** What is missing, as the messages below name it. */
const pythonPackages = 'what test/support/outside/install installs';

/** Where programs of the Python environment are; undefined when it is not made, or of other requirements. */
export function findOutsidePython(program = 'python'): string | undefined {
  const environment = join(repository, '.cache/outside-venv');
  try {
    const wanted = readFileSync(join(repository, 'test/support/outside/requirements.txt'));
    const made = readFileSync(join(environment, 'requirements.sha256'), 'utf8').trim();
    if (made !== createHash('sha256').update(wanted).digest('hex')) return undefined;
  } catch {
    return undefined;
  }
  const path = join(environment, 'bin', program);
  return isExecutable(path) ? path : undefined;
}

/**
 * The Python with the packages of `test/support/outside/requirements.txt`, or a program that one of them
 * brings, for use inside a test. Without it the test is skipped from here on, or fails under CI.
 */
export function outsidePython(program = 'python'): string {
  const path = findOutsidePython(program);
  if (path !== undefined) return path;
  refuseUnderCi(pythonPackages);
  TestRunner.getCurrentTest()?.context.skip(`${pythonPackages} is not installed`);
  throw new Error(`${pythonPackages} is not installed; outside a test ask hasOutsidePython() in describe.skipIf`);
}

/** For `describe.skipIf(!hasOutsidePython())`. Throws under CI when it is missing. */
export function hasOutsidePython(): boolean {
  if (findOutsidePython() !== undefined) return true;
  refuseUnderCi(pythonPackages);
  console.warn(`skipped: ${pythonPackages} is not installed`);
  return false;
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
