/** Releases in words, and in what two of them differ. Pure. */
import { formatReference } from '#shared/kernel/names.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { ReleaseBody, ReleaseChange } from '#cloud/http/schemas/releases.js';
import { formatFields, formatList, formatTable, shortDigest } from './output.js';

type ReleasedModule = ReleaseBody['modules'][string];

export function describeRelease(release: ReleaseBody): string {
  const rows = Object.entries(release.modules).map(([module, { image, settings, requires, startAfter }]) => [
    module,
    formatReference(image),
    shortDigest(image.digest),
    Object.entries(requires)
      .map(([required, range]) => `${required} ${range}`)
      .join(', ') || '-',
    canonicalJson(settings),
    startAfter.join(', ') || '-',
  ]);
  return [
    formatFields([
      ['release', formatReference(release)],
      ['description', release.description === '' ? undefined : release.description],
      ['atomic', release.atomic ? 'all that changes takes over together, or none of it' : undefined],
      ['created', release.createdAt],
    ]),
    formatTable(['MODULE', 'IMAGE', 'DIGEST', 'REQUIRES', 'SETTINGS', 'STARTS AFTER'], rows),
  ].join('\n');
}

/** What deploying it does on a device: a row a module. */
export function describeChanges(changes: readonly ReleaseChange[]): string {
  return formatList(
    changes,
    ['MODULE', 'CHANGE', 'FROM', 'TO'],
    ({ module, change, from = '-', to = '-' }) => [module, change, from, to],
    'nothing changes',
  );
}

export interface Difference {
  readonly module: string;
  /** `image`, `settings.threshold`, `policy.restart` …; `module` where only one release has it. */
  readonly field: string;
  readonly from: unknown;
  readonly to: unknown;
}

/** Field by field, by module; absent values are null. */
export function releaseDifferences(before: ReleaseBody, after: ReleaseBody): Difference[] {
  const head = differing('', { atomic: before.atomic }, { atomic: after.atomic });
  const names = [...new Set([...Object.keys(before.modules), ...Object.keys(after.modules)])].sort();
  const modules = names.flatMap((module): Difference[] => {
    const [from, to] = [own(before.modules, module), own(after.modules, module)];
    if (from === undefined || to === undefined) {
      return [
        {
          module,
          field: 'module',
          from: from ? formatReference(from.image) : null,
          to: to ? formatReference(to.image) : null,
        },
      ];
    }
    return differing(module, fieldsOf(from), fieldsOf(to));
  });
  return [...head, ...modules];
}

export function describeDifferences(differences: readonly Difference[]): string {
  return formatList(
    differences,
    ['MODULE', 'FIELD', 'FROM', 'TO'],
    ({ module, field, from, to }) => [module || '-', field, valueText(from), valueText(to)],
    'they are the same',
  );
}

function fieldsOf({
  image,
  settings,
  policy,
  update,
  requires,
  routes = {},
  startAfter,
}: ReleasedModule): Record<string, unknown> {
  const { probation, ...rest } = update;
  return {
    image: `${formatReference(image)} ${shortDigest(image.digest)}`,
    ...prefixed('settings', settings),
    ...prefixed('policy', policy),
    ...prefixed('update', rest),
    ...prefixed('update.probation', probation ?? {}),
    ...prefixed('requires', requires),
    ...prefixed('routes', routes),
    ...(startAfter.length === 0 ? {} : { startAfter: startAfter.join(', ') }),
  };
}

function prefixed(prefix: string, fields: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [`${prefix}.${name}`, value as unknown]));
}

function differing(module: string, from: Record<string, unknown>, to: Record<string, unknown>): Difference[] {
  const fields = [...new Set([...Object.keys(from), ...Object.keys(to)])];
  return fields.flatMap((field): Difference[] => {
    const [a, b] = [from[field] ?? null, to[field] ?? null];
    return canonicalJson(a) === canonicalJson(b) ? [] : [{ module, field, from: a, to: b }];
  });
}

function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

function valueText(value: unknown): string {
  return value === null ? '-' : typeof value === 'string' ? value : canonicalJson(value);
}
