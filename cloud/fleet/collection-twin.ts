/**
 * Who operates a fleet says what its devices collect: a generation of the device's document, beside its modules, which
 * stay as they are.
 */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { CollectRule } from '#shared/protocol/collect.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import { knowsFeature } from './agent-features.js';
import { CollectionRepository } from './collection-repository.js';
import { deviceNotFound } from './device-errors.js';
import { type Database, DeviceRepository } from './device-repository.js';
import type { Twin } from './twin.js';

export interface CollectionTwinOptions {
  readonly db: Database;
  readonly twin: Pick<Twin, 'changeBesideWithin' | 'announce'>;
  readonly clock: Clock;
  /** Told after each commit: something waits in the outbox. */
  readonly onCommitted: () => void;
}

export class CollectionTwin {
  constructor(private readonly options: CollectionTwinOptions) {}

  /**
   * The module need not be there yet, and may change its version.
   *
   * @returns the generation that carries it
   * @throws AppError `device.not-found`, `device.unsupported`, `desired.conflict`
   */
  put(address: DeviceAddress, module: string, rule: CollectRule): Promise<number> {
    return this.change(address, module, async (transaction, generation) => {
      await requireCollecting(transaction, address);
      await new CollectionRepository(transaction).put({
        ...{ workspace: address.workspace, device: address.device, module, generation },
        ...{ ruleJson: JSON.stringify(rule), createdAt: toInstant(this.options.clock.now()) },
      });
    });
  }

  /** What waits on the device goes too. @throws AppError `data.not-collected` */
  end(address: DeviceAddress, module: string): Promise<number> {
    return this.change(address, module, async (transaction) => {
      if ((await new CollectionRepository(transaction).end(address, module)) > 0) return;
      throw new AppError('data.not-collected', `nothing is collected of module ${module} on ${address.device}`);
    });
  }

  private async change(
    address: DeviceAddress,
    module: string,
    edit: (transaction: Database, generation: number) => Promise<void>,
  ): Promise<number> {
    const { db, twin, onCommitted } = this.options;
    const generation = await db
      .transaction()
      .execute((transaction) => twin.changeBesideWithin(transaction, address, (next) => edit(transaction, next)));
    onCommitted();
    twin.announce(address, generation, [module]);
    return generation;
  }
}

/** An agent that does not know it refuses the whole document: it must have said that it does. */
async function requireCollecting(transaction: Database, address: DeviceAddress): Promise<void> {
  const device = await new DeviceRepository(transaction).find(address);
  if (device === undefined) throw deviceNotFound(address);
  if (knowsFeature(device.reportedJson, 'collect') === true) return;
  throw new AppError(
    'device.unsupported',
    `the agent of ${address.device} does not say that it can collect data: upgrade it, or let it connect once`,
    { details: { feature: 'collect' } },
  );
}
