/** A YAML file that the user names, or standard input: one document, without aliases, of bounded size. */
import { parseDocument } from 'yaml';
import { AppError } from '#shared/kernel/errors.js';
import { isNestedTooDeep } from '#shared/kernel/nesting.js';
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
  if (isNestedTooDeep(text)) throw invalid(where, 'it is nested too deep');
  try {
    const document = parseDocument(text, { uniqueKeys: true, stringKeys: true, logLevel: 'silent' });
    const [first] = document.errors;
    if (first !== undefined) throw invalid(where, first.message.split('\n', 1)[0] ?? '');
    return document.toJS({ maxAliasCount: 0 }) as unknown;
  } catch (error) {
    if (error instanceof AppError) throw error;
    // The library throws on aliases and, by recursion, on very deep nesting.
    throw invalid(where, 'it has aliases, or is nested too deep', error);
  }
}

function invalid(where: string, why: string, cause?: unknown): AppError {
  return new AppError('request.invalid', `${where} is not YAML that is taken here: ${why}`, { cause });
}
