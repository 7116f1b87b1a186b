/**
 * Shadows on the desired side of twins: a version beside a module gets copies of what it is asked, and nothing that
 * answers changes. Each change is a generation of its own; the release of the device stays what it is.
 */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { Desired } from '#shared/protocol/desired.js';
import type { ShadowRule } from '#shared/protocol/shadow.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import { knowsFeature } from './agent-features.js';
import { DeploymentRepository } from './deployment-repository.js';
import { type Database, DeviceRepository } from './device-repository.js';
import { deviceNotFound } from './device-errors.js';
import { ShadowRepository } from './shadow-repository.js';
import type { Twin } from './twin.js';

export interface ShadowOrder {
  /** `name:version` or a manifest digest. */
  readonly image: string;
  readonly settings: Desired['modules'][string]['settings'];
  readonly rule: ShadowRule;
}

export interface ShadowTwinOptions {
  readonly db: Database;
  readonly twin: Pick<Twin, 'changeBesideWithin' | 'announce'>;
  readonly clock: Clock;
  /** Told after each commit: something waits in the outbox. */
  readonly onCommitted: () => void;
}

export class ShadowTwin {
  constructor(private readonly options: ShadowTwinOptions) {}

  /**
   * @returns the generation that carries it
   * @throws AppError `module.not-found`, `image.not-found`, `shadow.unsupported`, `request.invalid`
   */
  async put(address: DeviceAddress, module: string, order: ShadowOrder): Promise<number> {
    return this.change(address, module, (transaction) =>
      this.putWithin(transaction, address, { [module]: order }, undefined),
    );
  }

  /** @throws AppError `shadow.not-found` */
  async end(address: DeviceAddress, module: string): Promise<number> {
    return this.change(address, module, (transaction) =>
      this.options.twin.changeBesideWithin(transaction, address, async () => {
        if ((await new ShadowRepository(transaction).end(address, module)) > 0) return;
        throw new AppError('shadow.not-found', `module ${module} of ${address.device} has no shadow`);
      }),
    );
  }

  /**
   * In place of all shadows of the device, as a part of somebody else's transaction, who wakes the outbox after it.
   *
   * @param rollout whose order it is; undefined: a person's, which leaves shadows of other modules
   */
  async putWithin(
    transaction: Database,
    address: DeviceAddress,
    orders: Readonly<Record<string, ShadowOrder>>,
    rollout: number | undefined,
  ): Promise<number> {
    await requireFeature(transaction, address);
    return this.options.twin.changeBesideWithin(transaction, address, async (generation) => {
      const shadows = new ShadowRepository(transaction);
      const deployed = await new DeploymentRepository(transaction).listCurrentOf(address);
      if (rollout !== undefined) await shadows.end(address);
      for (const [module, { image: reference, settings, rule }] of Object.entries(orders)) {
        const image = await new DeploymentRepository(transaction).requireImage(address.workspace, reference);
        if (image.flavor === 'index') {
          const message = `${reference} is an index of variants: a shadow runs one image, name the variant`;
          throw new AppError('request.invalid', message);
        }
        const own = deployed.find((one) => one.module === module);
        if (own === undefined) throw notDeployed(address, module);
        const same = own.image.digest === image.digest && canonicalJson(own.settings) === canonicalJson(settings);
        if (same) throw itself(address, module);
        await shadows.put({
          ...{ ...address, module, imageDigest: image.digest, generation, rollout: rollout ?? null },
          ...{ settingsJson: JSON.stringify(settings), ruleJson: JSON.stringify(rule) },
          createdAt: toInstant(this.options.clock.now()),
        });
      }
    });
  }

  /** Ends all of the device, likewise. */
  async endAllWithin(transaction: Database, address: DeviceAddress): Promise<number> {
    return this.options.twin.changeBesideWithin(transaction, address, async () => {
      await new ShadowRepository(transaction).end(address);
    });
  }

  private async change(
    address: DeviceAddress,
    module: string,
    edit: (transaction: Database) => Promise<number>,
  ): Promise<number> {
    const generation = await this.options.db.transaction().execute(edit);
    this.options.onCommitted();
    this.options.twin.announce(address, generation, [module]);
    return generation;
  }
}

/** An agent that does not know shadows refuses the whole document, and with it whatever else it asks. */
async function requireFeature(transaction: Database, address: DeviceAddress): Promise<void> {
  const device = await new DeviceRepository(transaction).find(address);
  if (device === undefined) throw deviceNotFound(address);
  if (knowsShadows(device.reportedJson)) return;
  throw new AppError(
    'shadow.unsupported',
    `the agent of ${address.device} does not say that it knows shadows: upgrade it, or let it connect once`,
  );
}

export function knowsShadows(reportedJson: string): boolean {
  return knowsFeature(reportedJson, 'shadow') ?? false;
}

function notDeployed({ device }: DeviceAddress, module: string): AppError {
  return new AppError(
    'module.not-found',
    `module ${module} is not deployed to ${device}, so there is nothing to shadow; flotilla device modules ${device} lists what is`,
  );
}

function itself({ device }: DeviceAddress, module: string): AppError {
  return new AppError(
    'request.invalid',
    `module ${module} of ${device} is that image with those settings already: shadow it with another`,
  );
}
