/** Layers in words, and where what a device runs comes from. Pure. */
import { formatReference } from '#shared/kernel/names.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { DesiredExplained, LayerBody, LayerOutcomeBody } from '#cloud/http/schemas/layers.js';
import { formatFields, formatList, formatTable } from './output.js';

export function describeLayer(layer: LayerBody): string {
  const rows = Object.entries(layer.modules).flatMap(([module, { image, settings = {}, routes = {}, policy, update }]) =>
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
  if (example === undefined) return head;
  const rows = example.changes.map(({ module, field, from, to }) => [module, field, valueOf(from), valueOf(to)]);
  return `${head}\n\non ${example.device}\n${formatList(rows, ['MODULE', 'FIELD', 'FROM', 'TO'], (row) => row, 'nothing changes')}`;
}

const standings: Record<DesiredExplained['layers'][number]['state'], string> = {
  'in-force': 'in force',
  outdated: 'in force in an older version',
  waiting: 'not there yet',
  leaving: 'in force, and not for this device any more',
};

/** @param explain with who says it, and what that covers */
export function describeDesired(desired: DesiredExplained, explain: boolean): string {
  const below = desired.release ?? 'base';
  const who = (layer: string | undefined): string => layer ?? below;
  const rows = Object.entries(desired.modules).flatMap(([module, { image, fields }]) =>
    fields.map(({ field, value, layer, covered }) => [
      module,
      field,
      field === 'image' ? image : valueOf(value),
      ...(explain
        ? [
            who(layer),
            covered.map((one) => `${who(one.layer)}: ${field === 'image' ? imageOf(one.value) : valueOf(one.value)}`).join('; ') || '-',
          ]
        : []),
    ]),
  );
  const head = formatFields([
    ['device', desired.device],
    ['generation', String(desired.generation)],
    ['release', desired.release],
  ]);
  const header = ['MODULE', 'FIELD', 'VALUE', ...(explain ? ['FROM', 'COVERS'] : [])];
  const parts = [head, formatList(rows, header, (row) => row, 'no modules; flotilla deploy <image> --device puts one there')];
  if (explain && desired.layers.length > 0) {
    parts.push(
      formatTable(
        ['LAYER', 'VERSION', 'NEWEST', 'STANDING'],
        desired.layers.map(({ name, version, newest, state }) => [
          ...[name, version === undefined ? '-' : String(version), newest === undefined ? '-' : String(newest)],
          standings[state],
        ]),
      ),
    );
  }
  if (explain) {
    parts.push(...desired.idle.map(({ module, layer }) => `layer ${layer} changes module ${module}, which is not there\n`));
  }
  return parts.join('\n');
}

function imageOf(value: unknown): string {
  return formatReference(value as { readonly name: string; readonly version: number });
}

function valueOf(value: unknown): string {
  return value === undefined ? '-' : canonicalJson(value);
}
