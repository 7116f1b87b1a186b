/** Layers on devices: a device takes those that are meant for it in one generation, beside the release that it has. */
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { Database } from '../device-repository.js';
import type { Twin } from '../twin.js';
import { Layering } from './layering.js';
import { type FieldChange, fieldChanges } from './merge.js';
import { sameLayers } from './take.js';

export interface Relayered {
  /** Absent where nothing that the device runs changes by it. */
  readonly generation?: number;
  readonly changes: readonly FieldChange[];
}

export class LayerTwin {
  constructor(private readonly twin: Pick<Twin, 'changeBesideWithin' | 'settle'>) {}

  /**
   * As a part of somebody else's transaction, who wakes the outbox after it.
   *
   * @param options `how` as in {@link layersToTake}; `without` a layer that is taken off
   * @returns undefined where the device has the layers already
   */
  async relayerWithin(
    transaction: Database,
    address: DeviceAddress,
    { how = 'live', without }: { readonly how?: 'all' | 'live'; readonly without?: string } = {},
  ): Promise<Relayered | undefined> {
    const layering = new Layering(transaction);
    const beneath = await layering.beneath(address);
    const layers = beneath.layers.filter(({ name }) => name !== without);
    const layered = await layering.over(address, { ...beneath, layers }, how);
    if (sameLayers(layered.layers, beneath.layers)) return undefined;
    const changes = fieldChanges((await layering.merged(address, beneath)).modules, layered.modules);
    if (changes.length === 0) {
      await layering.keep(address, layered);
      return { changes };
    }
    const generation = await this.twin.changeBesideWithin(transaction, address, async (next) => {
      await this.twin.settle(transaction, address, next, layered);
    });
    return { generation, changes };
  }
}
