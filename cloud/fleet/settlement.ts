/** From what a device has to what it is to run: the rows of its deployments, as a part of a transaction. */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import type { NewId } from '#shared/kernel/ids.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import { requireFeature } from './agent-features.js';
import { DeploymentRepository } from './deployment-repository.js';
import type { DeployedModule } from './desired-document.js';
import type { Database } from './device-repository.js';
import { Layering, type Restored } from './layers/layering.js';
import { groupOf } from './module-deployment.js';
import { type ModuleChange, planRelease, type ReleasedModule } from './release-plan.js';
import { ShadowRepository } from './shadow-repository.js';

export interface SettlementOptions {
  readonly clock: Clock;
  readonly newId: NewId;
}

export interface SettleOptions {
  /** What changes takes over together, or none of it does. */
  readonly atomic?: boolean;
  /** Modules that are deployed anew also where they are the same. */
  readonly anew?: readonly string[];
  /** What the device has, where it was read in this transaction already. */
  readonly current?: readonly DeployedModule[] | undefined;
}

export class Settlement {
  private readonly deployments: DeploymentRepository;

  constructor(
    private readonly transaction: Database,
    private readonly options: SettlementOptions,
  ) {
    this.deployments = new DeploymentRepository(transaction);
  }

  /** @throws AppError `image.not-found`, `device.unsupported` where the agent is older than what it is asked */
  async settle(
    address: DeviceAddress,
    generation: number,
    layered: Restored,
    { atomic = false, anew = [], current }: SettleOptions,
  ): Promise<ModuleChange[]> {
    const changes = planRelease(current ?? (await this.deployments.listCurrentOf(address)), layered.modules);
    for (const change of changes) {
      const { module } = change;
      if (change.change === 'kept' && !anew.includes(module)) continue;
      // It may be the one that was shadowed, and what was compared is another now.
      await new ShadowRepository(this.transaction).end(address, module);
      await this.deployments.end(address, generation, module);
      if (change.change !== 'removed') await this.place(address, generation, change.after, atomic);
    }
    await new Layering(this.transaction).keep(address, layered);
    return changes;
  }

  /** The module is as given from this generation on. */
  private async place(
    address: DeviceAddress,
    generation: number,
    { module, image, settings, policy, update, routes = {}, startAfter = [] }: ReleasedModule,
    atomic: boolean,
  ): Promise<void> {
    const { workspace, device } = address;
    const { flavor } = await this.deployments.requireImage(workspace, image.digest);
    if (flavor === 'index') await requireFeature(this.transaction, address, 'variants');
    if (startAfter.length > 0) await requireFeature(this.transaction, address, 'startAfter');
    await this.deployments.insert({
      id: this.options.newId(),
      kind: 'iot-module',
      ...{ workspace, device, module, generation, imageDigest: image.digest },
      settingsJson: JSON.stringify(settings),
      policyJson: JSON.stringify(policy),
      updateJson: JSON.stringify(atomic ? { ...update, atomic: groupOf(generation) } : update),
      ...{ routesJson: JSON.stringify(routes), startAfterJson: JSON.stringify(startAfter) },
      removedGeneration: null,
      createdAt: toInstant(this.options.clock.now()),
    });
  }
}
