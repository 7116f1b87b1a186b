// The licences of what others wrote and an archive carries.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Source {
  /** The package's folder, with its package.json and, mostly, its licence. */
  readonly folder: string;
}

interface PackageFacts {
  readonly name: string;
  readonly version: string;
  readonly license?: string | { readonly type: string };
  readonly author?: string | { readonly name: string };
}

const licenceNames = /^(licen[cs]e|copying|notice|thirdpartynotices)/i;
const rule = '='.repeat(100);

export function noticesOf(sources: readonly Source[]): string {
  const head =
    'Flotilla is under the Apache License 2.0 (LICENSE). It carries the following software of others, under their licences.';
  const parts = sources.map(noticeOf).sort((a, b) => (a.title < b.title ? -1 : 1));
  const unique = [...new Map(parts.map((part) => [part.title, part])).values()];
  return [head, '', ...unique.flatMap(({ title, text }) => [rule, title, '', text.trimEnd(), ''])].join('\n');
}

function noticeOf({ folder }: Source): { readonly title: string; readonly text: string } {
  const { name, version, license, author } = JSON.parse(
    readFileSync(join(folder, 'package.json'), 'utf8'),
  ) as PackageFacts;
  const id = typeof license === 'string' ? license : (license?.type ?? undefined);
  const texts = readdirSync(folder)
    .filter((file) => licenceNames.test(file))
    .sort()
    .map((file) => readFileSync(join(folder, file), 'utf8').replaceAll('\r\n', '\n'));
  if (id === undefined && texts.length === 0) throw new Error(`${name} ${version} says nowhere what its licence is`);
  const by = typeof author === 'string' ? author : author?.name;
  const otherwise = `The package says that its licence is ${String(id)}, and carries no text of it.${by === undefined ? '' : ` Its author: ${by}.`}`;
  return { title: `${name} ${version}${id === undefined ? '' : ` (${id})`}`, text: texts.join('\n\n') || otherwise };
}

/** Packages by their folders, where npm put them; those of other platforms may not be there. */
export function installedSources(root: string, paths: readonly string[]): Source[] {
  return paths
    .map((path) => join(root, path))
    .filter((path) => existsSync(path))
    .map((folder) => ({ folder }));
}
