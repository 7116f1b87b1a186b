/** Where each thing that a device is to run comes from. */
import { formatReference } from '#shared/kernel/names.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { DesiredExplained } from '#cloud/http/schemas/layers.js';
import type { DeviceRow, Database } from '../device-repository.js';
import { Layering } from './layering.js';
import type { ExplainedField, Merged } from './merge.js';
import { type LayerRef, layersToTake } from './take.js';

export async function explainDevice(
  db: Database,
  address: DeviceAddress,
  { desiredGeneration: generation, desiredRelease: release }: Pick<DeviceRow, 'desiredGeneration' | 'desiredRelease'>,
): Promise<DesiredExplained> {
  const layering = new Layering(db);
  const beneath = await layering.beneath(address);
  const merged = await layering.merged(address, beneath);
  const wanted = layersToTake([], await layering.heads(address), 'all');
  return {
    ...{ device: address.device, generation, ...(release === '' ? {} : { release }) },
    layers: standingsOf(beneath.layers, wanted),
    modules: Object.fromEntries(
      merged.modules.map(({ module, image }) => [
        module,
        { image: formatReference(image), fields: fieldsOf(merged, module) },
      ]),
    ),
    idle: merged.idle.map((one) => ({ ...one })),
  };
}

function fieldsOf({ fields }: Merged, module: string): DesiredExplained['modules'][string]['fields'] {
  return fields
    .filter((one) => one.module === module)
    .map(({ module: _module, covered, ...one }: ExplainedField) => ({ ...one, covered: [...covered] }));
}

function standingsOf(has: readonly LayerRef[], wanted: readonly LayerRef[]): DesiredExplained['layers'] {
  const names = [...new Set([...has, ...wanted].map(({ name }) => name))].sort();
  return names.map((name) => {
    const version = has.find((one) => one.name === name)?.version;
    const newest = wanted.find((one) => one.name === name)?.version;
    const state =
      version === undefined
        ? ('waiting' as const)
        : newest === undefined
          ? ('leaving' as const)
          : version === newest
            ? ('in-force' as const)
            : ('outdated' as const);
    return { name, ...(version === undefined ? {} : { version }), ...(newest === undefined ? {} : { newest }), state };
  });
}
