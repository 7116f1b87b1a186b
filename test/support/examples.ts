/** The examples of every document in test/fixtures/messages, made by .scripts/make-examples.ts. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Tests and built benchmarks both run in the repository's root. */
const folder = join(process.cwd(), 'test/fixtures/messages');

export function exampleOf(name: string): unknown {
  return JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'));
}

export function exampleText(file: string): string {
  return readFileSync(join(folder, file), 'utf8');
}
