/** A YAML file that the user names, or standard input: one document, without aliases, of bounded size. */
import { AppError } from '#shared/kernel/errors.js';
import { readStrictDocuments, readStrictYaml, type YamlProblem } from '#shared/package/strict-yaml.js';
import type { CliIo } from './cli-io.js';
import { readAll, readTextFile } from './input.js';

const maxYamlBytes = 1024 * 1024;

/** @throws AppError `request.invalid` that names the file and what is wrong with it */
export async function readYamlInput(io: CliIo, path: string): Promise<unknown> {
  const where = path === '-' ? 'standard input' : path;
  return parseYaml(path === '-' ? await readAll(io.stdin, where) : await readTextFile(path), where);
}

/** One document or more. @throws AppError as {@link readYamlInput}, and for a file without any */
export async function readYamlDocuments(io: CliIo, path: string): Promise<unknown[]> {
  const where = path === '-' ? 'standard input' : path;
  const values = parseYamlDocuments(path === '-' ? await readAll(io.stdin, where) : await readTextFile(path), where);
  if (values.length > 0) return values;
  throw new AppError('request.invalid', `${where} is empty: it begins with kind: release, or kind: rollout`);
}

export function parseYamlDocuments(text: string, where: string): unknown[] {
  checkLength(text, where);
  return readStrictDocuments(text, (problem) => refusal(problem, where));
}

export function parseYaml(text: string, where: string): unknown {
  checkLength(text, where);
  return readStrictYaml(text, (problem) => refusal(problem, where)).value;
}

function checkLength(text: string, where: string): void {
  if (Buffer.byteLength(text) > maxYamlBytes) {
    throw new AppError('request.too-large', `${where} is larger than ${String(maxYamlBytes)} bytes`);
  }
}

function refusal({ what, line, cause }: YamlProblem, where: string): AppError {
  const at = line === undefined ? '' : ` at line ${String(line)}`;
  return new AppError('request.invalid', `${where} is not YAML that is taken here: ${what}${at}`, { cause });
}
