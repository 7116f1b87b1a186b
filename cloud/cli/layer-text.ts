/** Layers in words, and where what a device runs comes from. Pure. */
import { formatReference, type Reference } from '#shared/kernel/names.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { DesiredExplained, LayerBody, LayerOutcomeBody } from '#cloud/http/schemas/layers.js';
import { formatFields, formatList, formatTable } from './output.js';

export function describeLayer(layer: LayerBody): string {
  const rows = Object.entries(layer.modules).flatMap(
    ([module, { image, settings = {}, routes = {}, policy, update }]) =>
      [
        ...(image ? [['image', formatReference(image)]] : []),
        ...Object.entries(settings).map(([key, value]) => [`settings.${key}`, canonicalJson(value)]),
        ...Object.entries(routes).map(([name, route]) => [`routes.${name}`, canonicalJson(route)]),
        ...Object.entries({ policy, update })
          .filter(([, value]) => value !== undefined)
          .map(([name, value]) => [name, canonicalJson(value)]),
      ].map((cells) => [module, ...cells]),
  );
  return [
    formatFields([
      ['layer', formatReference(layer)],
      ['where', layer.where],
      ['priority', String(layer.priority)],
      ['taken', layer.staged ? 'with a release that is deployed' : 'at once'],
      ['description', layer.description === '' ? undefined : layer.description],
      ['updated', layer.updatedAt],
    ]),
    formatTable(['MODULE', 'FIELD', 'VALUE'], rows),
  ].join('\n');
}

/** What was saved, or would be, and what it does. */
export function describeOutcome({ layer, saved, devices, example }: LayerOutcomeBody, done: string): string {
  const count = `${String(devices)} ${devices === 1 ? 'device' : 'devices'}`;
  const when = layer.staged ? ', each with the next release that is deployed to it' : '';
  const changes = saved ? (layer.staged ? 'will change' : 'changed') : 'would change';
  const head = `${formatReference(layer)} ${saved ? 'is' : 'would be'} ${done}: ${count} ${changes}${when}`;
  if (example === undefined || saved) return head;
  const rows = example.changes.map((one) => [
    ...[one.module, one.field],
    ...[one.from, one.to].map((value) => fieldText(one.field, value)),
  ]);
  const changed = formatList(rows, ['MODULE', 'FIELD', 'FROM', 'TO'], (row) => row, 'nothing changes');
  return `${head}\n\non ${example.device}\n${changed}`;
}

const standings: Record<DesiredExplained['layers'][number]['state'], string> = {
  'in-force': 'in force',
  outdated: 'in force in an older version',
  waiting: 'not there yet',
  leaving: 'in force, and not for this device any more',
};

/** @param explain with who says it, and what that covers */
export function describeDesired(desired: DesiredExplained, explain: boolean): string {
  const rows = Object.entries(desired.modules).flatMap(([module, { fields }]) =>
    fields.map((one) => [
      ...[module, one.field, fieldText(one.field, one.value)],
      ...(explain ? whenceOf(one, desired.release ?? 'base') : []),
    ]),
  );
  const head = formatFields([
    ['device', desired.device],
    ['generation', String(desired.generation)],
    ['release', desired.release],
  ]);
  const header = ['MODULE', 'FIELD', 'VALUE', ...(explain ? ['FROM', 'COVERS'] : [])];
  const none = 'no modules; flotilla deploy <image> --device puts one there';
  return [head, formatList(rows, header, (row) => row, none), ...(explain ? layersText(desired) : [])].join('\n');
}

/** @param base whose the things are that no layer says */
function whenceOf(
  { field, layer, covered }: DesiredExplained['modules'][string]['fields'][number],
  base: string,
): string[] {
  const covers = covered.map((one) => `${one.layer ?? base}: ${fieldText(field, one.value)}`);
  return [layer ?? base, covers.join('; ') || '-'];
}

function layersText({ layers, idle }: DesiredExplained): string[] {
  const table = formatTable(
    ['LAYER', 'VERSION', 'NEWEST', 'STANDING'],
    layers.map(({ name, version, newest, state }) => [
      ...[name, version === undefined ? '-' : String(version), newest === undefined ? '-' : String(newest)],
      standings[state],
    ]),
  );
  return [
    ...(layers.length === 0 ? [] : [table]),
    ...idle.map(({ module, layer }) => `layer ${layer} changes module ${module}, which is not there\n`),
  ];
}

function fieldText(field: string, value: unknown): string {
  if (value === undefined) return '-';
  return field === 'image' ? formatReference(value as Reference) : canonicalJson(value);
}
