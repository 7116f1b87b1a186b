/** Header fields that go to the collector, from a file, for they may be secrets. */
import { validateHeaderName, validateHeaderValue } from 'node:http';
import { AppError } from '#shared/kernel/errors.js';
import { readPrivateYaml } from '#cloud/private-yaml.js';

/** Of the message, not to be chosen. */
const ours = ['content-type', 'content-encoding', 'content-length', 'host'];

/** @throws AppError `config.invalid` */
export async function readOtlpHeaders(path: string): Promise<Readonly<Record<string, string>>> {
  const document = await readPrivateYaml(path, 'names of header fields to their values');
  const fields = Object.entries(document).map(([name, value]) => {
    const key = name.toLowerCase();
    try {
      if (typeof value !== 'string') throw new TypeError('no text');
      validateHeaderName(key);
      validateHeaderValue(key, value);
    } catch {
      throw new AppError(
        'config.invalid',
        `${path}: "${name.slice(0, 64)}" is no header field with a text for its value`,
      );
    }
    if (ours.includes(key)) throw new AppError('config.invalid', `${path}: ${key} is not to be set`);
    return [key, value] as const;
  });
  return Object.fromEntries(fields);
}
