import { fileURLToPath } from 'node:url';

/**
 * Path of a program of ours that is run as a child process: the built one, also when the caller runs from sources.
 *
 * @param program relative to `cloud/`, for example `registry/load-check/main.js`
 */
export function builtProgram(program: string): string {
  const cloud = import.meta.url.endsWith('.js') ? '../' : '../../dist/cloud/';
  return fileURLToPath(new URL(`${cloud}${program}`, import.meta.url));
}
