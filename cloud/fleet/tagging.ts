/** Tags of devices, and what follows from them: in the same step a device takes the layers that its tags ask for. */
import { tagsSchema } from '#shared/protocol/primitives.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import { applyTagPatch, type TagPatch } from '#cloud/store/tag-patch.js';
import { deviceNotFound, deviceRetired } from './device-errors.js';
import { type Database, DeviceRepository } from './device-repository.js';
import { LayerTwin } from './layers/layer-twin.js';
import type { Twin } from './twin.js';

export interface TaggingOptions {
  readonly db: Database;
  readonly twin: Twin;
  /** Told after each commit: something waits in the outbox. */
  readonly onCommitted: () => void;
}

export class Tagging {
  constructor(private readonly options: TaggingOptions) {}

  /** @throws AppError `device.not-found`, `device.retired`, and whatever the device cannot take; then no tag changes */
  async change(address: DeviceAddress, patch: TagPatch): Promise<void> {
    const { db, twin, onCommitted } = this.options;
    const relayered = await db.transaction().execute(async (transaction) => {
      const devices = new DeviceRepository(transaction);
      const device = await devices.find(address);
      if (device === undefined) throw deviceNotFound(address);
      if (device.retiredAt !== null) throw deviceRetired(address, device.retiredAt);
      const changed = applyTagPatch(tagsSchema.parse(JSON.parse(device.tagsJson)), patch);
      await devices.update(address, { tagsJson: JSON.stringify(changed) });
      return new LayerTwin(twin).relayerWithin(transaction, address);
    });
    if (relayered?.generation === undefined) return;
    onCommitted();
    twin.announce(address, relayered.generation, [...new Set(relayered.changes.map(({ module }) => module))]);
  }
}
