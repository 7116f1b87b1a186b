/** A YAML file that the user names, or standard input: one document, without aliases, of bounded size. */
import { AppError } from '#shared/kernel/errors.js';
import { readStrictYaml } from '#shared/package/strict-yaml.js';
import type { CliIo } from './cli-io.js';
import { readAll, readTextFile } from './input.js';

const maxYamlBytes = 1024 * 1024;

/** @throws AppError `request.invalid` that names the file and what is wrong with it */
export async function readYamlInput(io: CliIo, path: string): Promise<unknown> {
  const where = path === '-' ? 'standard input' : path;
  return parseYaml(path === '-' ? await readAll(io.stdin, where) : await readTextFile(path), where);
}

export function parseYaml(text: string, where: string): unknown {
  if (Buffer.byteLength(text) > maxYamlBytes) {
    throw new AppError('request.too-large', `${where} is larger than ${String(maxYamlBytes)} bytes`);
  }
  return readStrictYaml(text, ({ what, line, cause }) => {
    const at = line === undefined ? '' : ` at line ${String(line)}`;
    return new AppError('request.invalid', `${where} is not YAML that is taken here: ${what}${at}`, { cause });
  }).value;
}
