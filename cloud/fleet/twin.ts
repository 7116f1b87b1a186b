/**
 * The desired side of device twins. Each change is one transaction: the deployment rows, the next
 * generation by compare-and-set, the director's signature over the whole document, and the outbox row
 * that carries it to the broker. Generations only rise.
 */
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { CertificateRepository } from './certificate-repository.js';
import type { NewId } from '#shared/kernel/ids.js';
import { formatReference } from '#shared/kernel/names.js';
import { updatePolicyOf } from '#shared/protocol/desired.js';
import { buildTopic, channels, type DeviceAddress } from '#shared/protocol/topics.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import type { Director } from '#cloud/trust/director-keys.js';
import type { DeploymentRepository } from './deployment-repository.js';
import { CollectionRepository } from './collection-repository.js';
import { deviceNotFound, deviceRetired } from './device-errors.js';
import { composeDesired, type DeployedModule, desiredRenewalMs, renewDesired } from './desired-document.js';
import { openStoredDesired, sealDesired } from './desired-envelope.js';
import type { Database, DeviceRepository, DeviceRow } from './device-repository.js';
import { Layering, refuseLayered, type Restored, withoutRelease } from './layers/layering.js';
import type { DeployedSet, ModuleDeployment, ModuleDeployments, ReleaseDeployment } from './module-deployment.js';
import type { OutboxRepository } from './outbox-repository.js';
import { PrefetchRepository } from './prefetch-repository.js';
import { type ModuleChange, planRelease, type ReleasedModule } from './release-plan.js';
import { type SettleOptions, Settlement } from './settlement.js';
import { ShadowRepository } from './shadow-repository.js';

export interface TwinOptions {
  readonly db: Database;
  readonly devices: DeviceRepository;
  readonly deployments: DeploymentRepository;
  readonly outbox: OutboxRepository;
  readonly director: Director;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly live: LiveEvents;
  /** Whether the routes of a device's modules fit together; absent: nobody asks. */
  readonly checkRoutes?: (modules: readonly DeployedModule[]) => Promise<void>;
  /** Told after each commit: something waits in the outbox. */
  readonly onCommitted: () => void;
}

interface NextGeneration {
  readonly generation: number;
  /** As name:version; empty where the modules are none. */
  readonly release: string;
  /** Its modules may not fit together. */
  readonly changed?: boolean;
}

export class Twin {
  constructor(private readonly options: TwinOptions) {}

  /** @returns the generation that carries it */
  async deploy(address: DeviceAddress, module: string, deployment: ModuleDeployment): Promise<number> {
    return this.deployAll(address, { [module]: deployment });
  }

  /**
   * @param atomic the modules take over together, or none of them does
   * @returns the generation that carries them
   */
  async deployAll(address: DeviceAddress, modules: ModuleDeployments, atomic = false): Promise<number> {
    return this.change(address, Object.keys(modules), async (transaction, generation) => {
      const deployments = this.options.deployments.within(transaction);
      const named: ReleasedModule[] = [];
      for (const [module, deployment] of Object.entries(modules)) {
        const { image: reference, settings, policy, update = updatePolicyOf(undefined), routes = {} } = deployment;
        const { name, version, digest } = await deployments.requireImage(address.workspace, reference);
        named.push({ module, image: { name, version, digest }, settings, policy, update, routes, requires: {} });
      }
      const layering = new Layering(transaction);
      const { base, layers } = await layering.beneath(address);
      const others = withoutRelease(base).filter(({ module }) => !Object.hasOwn(modules, module));
      const layered = await layering.over(address, { base: [...others, ...named], layers }, 'live');
      await this.settle(transaction, address, generation, layered, { atomic, anew: Object.keys(modules) });
    });
  }

  /** What {@link deployRelease} would change. */
  async planRelease(address: DeviceAddress, release: ReleaseDeployment): Promise<ModuleChange[]> {
    await this.requireDevice(this.options.db, address);
    const { modules } = await new Layering(this.options.db).over(address, { base: release.modules, layers: [] }, 'all');
    return planRelease(await this.options.deployments.listCurrentOf(address), modules);
  }

  /**
   * From the next generation on the device runs the modules of the release with its layers over them, and no others.
   * What it has already as they say stays as it is.
   */
  async deployRelease(
    address: DeviceAddress,
    release: ReleaseDeployment,
  ): Promise<{ generation: number; changes: ModuleChange[] }> {
    const deployed = await this.options.db
      .transaction()
      .execute((transaction) => this.deploySetWithin(transaction, address, release, formatReference(release)));
    this.options.onCommitted();
    this.announce(
      address,
      deployed.generation,
      release.modules.map(({ module }) => module),
    );
    return deployed;
  }

  /**
   * {@link deployRelease} as a part of somebody else's transaction, who wakes the outbox after it.
   *
   * @param release as name:version; empty where the modules are none
   * @param current what the device has, where it was read in this transaction already
   */
  async deploySetWithin(
    transaction: Database,
    address: DeviceAddress,
    { modules, atomic, windows, beneath }: DeployedSet,
    release: string,
    current?: readonly DeployedModule[],
  ): Promise<{ generation: number; changes: ModuleChange[] }> {
    let changes: ModuleChange[] = [];
    const generation = await this.changeWithin(transaction, address, release, async (next) => {
      const layered =
        beneath === undefined
          ? await new Layering(transaction).over(address, { base: modules, layers: [], windows }, 'all')
          : { ...beneath, modules };
      await new ShadowRepository(transaction).end(address);
      changes = await this.settle(transaction, address, next, layered, { atomic, current });
    });
    return { generation, changes };
  }

  /** What differs from what the device has is placed or ended, from this generation on; layers are kept as given. */
  settle(
    transaction: Database,
    address: DeviceAddress,
    generation: number,
    layered: Restored,
    how: SettleOptions = {},
  ): Promise<ModuleChange[]> {
    return new Settlement(transaction, this.options).settle(address, generation, layered, how);
  }

  /** @returns the first generation without it */
  async undeploy(address: DeviceAddress, module: string): Promise<number> {
    return this.change(address, [module], async (transaction, generation) => {
      const layering = new Layering(transaction);
      const { base, layers } = await layering.beneath(address);
      const others = withoutRelease(base).filter((one) => one.module !== module);
      const layered = await layering.over(address, { base: others, layers }, 'live');
      refuseLayered(layered, module);
      const changes = await this.settle(transaction, address, generation, layered);
      if (changes.some((one) => one.module === module && one.change === 'removed')) return;
      throw new AppError(
        'module.not-found',
        `module ${module} is not deployed to ${address.device}; flotilla device modules ${address.device} lists what is`,
      );
    });
  }

  /** Ends everything on a device that is gone for good; its name stays taken. */
  async retire(address: DeviceAddress): Promise<void> {
    const { db, devices, deployments, outbox, clock } = this.options;
    await db.transaction().execute(async (transaction) => {
      const device = await this.requireDevice(transaction, address);
      await deployments.within(transaction).end(address, device.desiredGeneration + 1);
      await new ShadowRepository(transaction).end(address);
      await new CollectionRepository(transaction).end(address);
      await new Layering(transaction).keep(address, { base: [], layers: [] });
      const at = toInstant(clock.now());
      await new CertificateRepository(transaction).revoke(address, { at, reason: 'retired' });
      await devices.within(transaction).update(address, {
        retiredAt: at,
        online: 0,
        desiredEnvelope: null,
        desiredExpiresAt: null,
      });
      // An empty retained message removes the one that the broker keeps.
      await outbox.within(transaction).add(this.messageFor(address, ''));
    });
    this.options.onCommitted();
  }

  /** Extends documents that are about to expire. @returns how many */
  async renewExpiring(limit: number): Promise<number> {
    const { devices, clock } = this.options;
    const expiring = await devices.listExpiring(toInstant(clock.now() + desiredRenewalMs), limit);
    let renewed = 0;
    for (const address of expiring) if (await this.renew(address)) renewed += 1;
    return renewed;
  }

  /** The same document issued and signed anew, its generation as it was. @returns false when there is none */
  async renew(address: DeviceAddress): Promise<boolean> {
    const { db, devices, outbox, director, clock } = this.options;
    const renewed = await db.transaction().execute(async (transaction) => {
      const current = await devices.within(transaction).findDesired(address);
      if (!current?.envelope) return false;
      const document = renewDesired(openStoredDesired(current.envelope), clock.now());
      const envelope = sealDesired(document, director);
      const written = await devices
        .within(transaction)
        .compareAndSetDesired(address, current.generation, { ...current, envelope, expiresAt: document.expiresAt });
      if (written) await outbox.within(transaction).add(this.messageFor(address, envelope));
      return written;
    });
    if (renewed) this.options.onCommitted();
    return renewed;
  }

  /**
   * The stored document, for a device that asks. None when nothing was ever deployed, or when the
   * device has reported a newer generation than ours: it would refuse the older one.
   */
  async storedDesired(address: DeviceAddress): Promise<string | undefined> {
    const side = await this.options.devices.findDesired(address);
    if (!side?.envelope) return undefined;
    return openStoredDesired(side.envelope).generation === side.generation ? side.envelope : undefined;
  }

  /**
   * For a device that accepts nothing up to generation `above`, as when a restored backup is behind it:
   * what the database says is issued again, above that. Does nothing when the document is above already.
   */
  async reissue(address: DeviceAddress, above: number): Promise<void> {
    const { db, devices } = this.options;
    const reissued = await db.transaction().execute(async (transaction) => {
      const side = await devices.within(transaction).findDesired(address);
      if (!side?.envelope || openStoredDesired(side.envelope).generation > above) return false;
      const { desiredRelease: release } = await this.requireDevice(transaction, address);
      const generation = Math.max(side.generation, above) + 1;
      await this.issue(transaction, address, side.generation, { generation, release });
      return true;
    });
    if (reissued) this.options.onCommitted();
  }

  /** The next generation says what is to be prefetched now; its modules stay as they are. */
  async issueWithin(transaction: Database, address: DeviceAddress): Promise<number> {
    const { desiredGeneration, desiredRelease: release } = await this.requireDevice(transaction, address);
    return this.issue(transaction, address, desiredGeneration, { generation: desiredGeneration + 1, release });
  }

  private async change(
    address: DeviceAddress,
    modules: readonly string[],
    edit: (transaction: Database, generation: number) => Promise<void>,
  ): Promise<number> {
    const generation = await this.options.db
      .transaction()
      // What was changed by hand is no release any more.
      .execute((transaction) => this.changeWithin(transaction, address, '', (next) => edit(transaction, next)));
    this.options.onCommitted();
    this.announce(address, generation, modules);
    return generation;
  }

  /** What stands beside the modules changes; the release that the device has stays. @returns the generation */
  changeBesideWithin(
    transaction: Database,
    address: DeviceAddress,
    edit: (generation: number) => Promise<void>,
  ): Promise<number> {
    return this.changeWithin(transaction, address, undefined, edit);
  }

  private async changeWithin(
    transaction: Database,
    address: DeviceAddress,
    release: string | undefined,
    edit: (generation: number) => Promise<void>,
  ): Promise<number> {
    const device = await this.requireDevice(transaction, address);
    const { desiredGeneration, desiredRelease } = device;
    await edit(desiredGeneration + 1);
    const next = { generation: desiredGeneration + 1, release: release ?? desiredRelease, changed: true };
    return this.issue(transaction, address, desiredGeneration, next);
  }

  announce({ workspace, device }: DeviceAddress, generation: number, modules: readonly string[]): void {
    for (const module of modules) {
      const data = { device, module, generation };
      this.options.live.publish({ workspace, type: 'deployment.changed', subject: device, data });
    }
  }

  /**
   * Signs and writes what is deployed now as the next generation, by compare-and-set on `from`.
   *
   * @returns the generation
   * @throws AppError `route.invalid`, `desired.too-large`, `desired.conflict`
   */
  private async issue(
    transaction: Database,
    address: DeviceAddress,
    from: number,
    { generation, release, changed = false }: NextGeneration,
  ): Promise<number> {
    const { devices, deployments, outbox, director, clock, checkRoutes } = this.options;
    const modules = await deployments.within(transaction).listCurrentOf(address);
    if (changed) await checkRoutes?.(modules);
    const prefetch = await new PrefetchRepository(transaction).of(address);
    const document = composeDesired({ ...address, generation, nowMs: clock.now(), modules, release, prefetch });
    const envelope = sealDesired(document, director);
    const written = await devices
      .within(transaction)
      .compareAndSetDesired(address, from, { generation, envelope, expiresAt: document.expiresAt, release });
    if (!written) {
      throw new AppError(
        'desired.conflict',
        `${address.device} was changed by somebody else at the same moment: look at it, then try again`,
      );
    }
    await outbox.within(transaction).add(this.messageFor(address, envelope));
    return generation;
  }

  private async requireDevice(transaction: Database, address: DeviceAddress): Promise<DeviceRow> {
    const device = await this.options.devices.within(transaction).find(address);
    if (device === undefined) throw deviceNotFound(address);
    if (device.retiredAt !== null) throw deviceRetired(address, device.retiredAt);
    return device;
  }

  private messageFor(address: DeviceAddress, payload: string): Parameters<OutboxRepository['add']>[0] {
    return {
      workspace: address.workspace,
      topic: buildTopic({ ...address, channel: 'desired' }),
      payload,
      qos: channels.desired.qos,
      retain: channels.desired.retain,
      createdAt: toInstant(this.options.clock.now()),
    };
  }
}
