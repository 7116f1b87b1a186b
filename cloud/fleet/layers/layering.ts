/** The layers of one device, as a part of the transaction that changes what it runs. */
import { AppError } from '#shared/kernel/errors.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import { DeploymentRepository } from '../deployment-repository.js';
import type { DeployedModule } from '../desired-document.js';
import { factsOfRow } from '../device-facts.js';
import { type Database, DeviceRepository } from '../device-repository.js';
import { deviceNotFound } from '../device-errors.js';
import { matchesQuery } from '../query/evaluate-query.js';
import type { ReleasedModule } from '../release-plan.js';
import { type Beneath, DeviceLayers } from './device-layers.js';
import { LayerRepository } from './layer-repository.js';
import { type Merged, mergeLayers } from './merge.js';
import { type LayerHead, layersToTake } from './take.js';

/** What a device is to run, and what it is made of. */
export interface Layered extends Beneath, Merged {}

/** What a device had and goes back to, layers included. */
export interface Restored extends Beneath {
  readonly modules: readonly ReleasedModule[];
}

export class Layering {
  private readonly layers: LayerRepository;
  private readonly kept: DeviceLayers;

  constructor(private readonly db: Database) {
    this.layers = new LayerRepository(db);
    this.kept = new DeviceLayers(db);
  }

  /** What the device has now; without layers all that it runs is what lies below. */
  async beneath(address: DeviceAddress): Promise<Beneath> {
    const kept = await this.kept.of(address);
    if (kept !== undefined) return kept;
    return { base: (await new DeploymentRepository(this.db).listCurrentOf(address)).map(asReleased), layers: [] };
  }

  /**
   * @param below what lies below from now on, and the layers that the device has
   * @throws AppError `layer.conflict`, `release.invalid`
   */
  async over(address: DeviceAddress, below: Beneath, how: 'all' | 'live'): Promise<Layered> {
    return this.merged(address, { ...below, layers: layersToTake(below.layers, await this.heads(address), how) });
  }

  async merged({ workspace }: DeviceAddress, beneath: Beneath): Promise<Layered> {
    const { modules, ...rest } = mergeLayers(beneath.base, await this.layers.versions(workspace, beneath.layers));
    return { ...beneath, ...rest, modules: modules.map((one) => withWindows(one, beneath.windows)) };
  }

  /** The layers of its workspace, and which are meant for the device as it is now. */
  async heads(address: DeviceAddress): Promise<LayerHead[]> {
    const all = await this.layers.list(address.workspace);
    if (all.length === 0) return [];
    const device = await new DeviceRepository(this.db).find(address);
    if (device === undefined) throw deviceNotFound(address);
    const facts = factsOfRow(device);
    return all.map(({ name, version, staged, query }) => {
      return { name, version, staged, matches: matchesQuery(query, facts) };
    });
  }

  async keep(address: DeviceAddress, beneath: Beneath): Promise<void> {
    await this.kept.set(address, beneath);
  }
}

/** What was changed by hand is no release any more: what its modules require of each other is not asked. */
export function withoutRelease(base: readonly ReleasedModule[]): ReleasedModule[] {
  return base.map((one) => ({ ...one, requires: {} }));
}

function withWindows(module: ReleasedModule, windows: Beneath['windows']): ReleasedModule {
  return windows === undefined ? module : { ...module, update: { ...module.update, windows } };
}

/** @throws AppError `layer.in-force` where a layer puts the module there */
export function refuseLayered({ fields }: Merged, module: string): void {
  const image = fields.find((one) => one.module === module && one.field === 'image');
  if (image?.layer === undefined) return;
  throw new AppError(
    'layer.in-force',
    `layer ${image.layer} puts module ${module} there: change the layer, or the tags by which the device has it`,
  );
}

/** Which modules it once took over together with says nothing of what it is. */
function asReleased({ module, image, settings, policy, update, routes, startAfter }: DeployedModule): ReleasedModule {
  const { name, version, digest } = image;
  const { atomic: _atomic, ...rest } = update;
  return {
    ...{ module, image: { name, version, digest }, settings, policy, update: rest, requires: {} },
    ...{ routes: routes ?? {}, startAfter: startAfter ?? [] },
  };
}
