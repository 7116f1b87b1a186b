/**
 * Saves, changes and deletes layers. A layer that is live is taken by its devices in the transaction that saves it:
 * either it is saved and they all have it, or nothing has happened. Hence it may touch only so many at once; a larger
 * change is staged, and devices take it with the release that a rollout brings them.
 */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { LayerContents } from '#cloud/http/schemas/layers.js';
import type { ControlStore } from '#cloud/store/control-database.js';
import type { Database } from '../device-repository.js';
import { matchingDevices } from '../device-search.js';
import { DeploymentRepository } from '../deployment-repository.js';
import type { Twin } from '../twin.js';
import { DeviceLayers } from './device-layers.js';
import { parseLayerQuery } from './layer-query.js';
import { LayerRepository, type StoredLayer } from './layer-repository.js';
import { LayerTwin } from './layer-twin.js';
import { type FieldChange, type LayerModule, refuseConflict } from './merge.js';

/** So many devices take a live change at once. */
export const maxDevices = 25;

export interface LayerOfficeOptions {
  readonly db: ControlStore;
  readonly twin: Twin;
  readonly clock: Clock;
  /** Told after each commit: something waits in the outbox. */
  readonly onCommitted: () => void;
}

export interface LayerOrder {
  readonly workspace: string;
  readonly name: string;
  /** Says what would be, and changes nothing. */
  readonly dryRun: boolean;
}

export interface LayerOutcome {
  readonly layer: StoredLayer;
  /** It was not so before. */
  readonly changed: boolean;
  /** So many devices have it, or had it, otherwise than before. */
  readonly devices: number;
  /** What changes on one of them. */
  readonly example: { readonly device: string; readonly changes: readonly FieldChange[] } | undefined;
}

/** Carries the outcome of a dry run out of the transaction that it ends. */
class DryRun extends Error {
  constructor(readonly outcome: LayerOutcome) {
    super('a dry run changes nothing');
  }
}

export class LayerOffice {
  private readonly twin: LayerTwin;

  constructor(private readonly options: LayerOfficeOptions) {
    this.twin = new LayerTwin(options.twin);
  }

  /**
   * @param decide what it is to be, from what it is
   * @throws AppError `layer.conflict`, `layer.too-wide`, `query.invalid`, `image.not-found`, and whatever a device refuses
   */
  async save(
    order: LayerOrder,
    decide: (before: StoredLayer | undefined) => Omit<LayerContents, 'name'>,
  ): Promise<LayerOutcome> {
    const { workspace, name } = order;
    return this.carryOut(order, async (transaction) => {
      const layers = new LayerRepository(transaction);
      const all = await layers.list(workspace);
      const before = all.find((one) => one.name === name);
      const { where, description, priority, staged, modules: given } = decide(before);
      const at = toInstant(this.options.clock.now());
      const modules = await resolve(transaction, workspace, given);
      const isSame =
        before !== undefined && canonicalJson([before.priority, before.modules]) === canonicalJson([priority, modules]);
      const layer: StoredLayer = {
        ...{ workspace, name, description, where, query: parseLayerQuery(where), staged, priority, modules },
        version: isSame ? before.version : await layers.nextVersion(workspace, name),
        ...{ createdAt: before?.createdAt ?? at, updatedAt: at },
      };
      for (const other of all) refuseConflict(layer, other);
      await layers.save(layer, !isSame);
      const members = await matchingDevices(transaction, workspace, layer.query).select('devices.name').execute();
      const names = new Set(members.map((member) => member.name));
      const holders = await new DeviceLayers(transaction).holders(workspace, name);
      const behind = [...names].filter((device) => holders.get(device) !== layer.version);
      const leaving = [...holders.keys()].filter((device) => !names.has(device));
      const changed = before === undefined || canonicalJson(saidIn(before)) !== canonicalJson(saidIn(layer));
      return { layer, changed, devices: [...behind, ...leaving].sort() };
    });
  }

  /** @throws AppError `layer.not-found`, `layer.too-wide` */
  async delete({ staged, ...order }: LayerOrder & { readonly staged: boolean }): Promise<LayerOutcome> {
    const { workspace, name } = order;
    return this.carryOut({ ...order, deleted: true }, async (transaction) => {
      const layers = new LayerRepository(transaction);
      const layer = await layers.require(workspace, name);
      await layers.delete(workspace, name);
      const holders = await new DeviceLayers(transaction).holders(workspace, name);
      return { layer: { ...layer, staged }, changed: true, devices: [...holders.keys()].sort() };
    });
  }

  private async carryOut(
    order: LayerOrder & { readonly deleted?: boolean },
    write: (
      transaction: Database,
    ) => Promise<Omit<LayerOutcome, 'devices' | 'example'> & { devices: readonly string[] }>,
  ): Promise<LayerOutcome> {
    const { db, twin, onCommitted } = this.options;
    const { workspace, name, dryRun, deleted = false } = order;
    const asked: { device: string; generation: number; modules: string[] }[] = [];
    let outcome: LayerOutcome;
    try {
      outcome = await db.transaction().execute(async (transaction) => {
        const { devices, ...written } = await write(transaction);
        const { staged } = written.layer;
        if (!staged && !dryRun) refuseTooWide(name, devices.length);
        let example: LayerOutcome['example'];
        // A dry run takes it on one device, then all of it is undone.
        for (const device of dryRun ? devices.slice(0, 1) : staged ? [] : devices) {
          const how = { how: staged ? ('all' as const) : ('live' as const), ...(deleted ? { without: name } : {}) };
          const relayered = await this.relayer(transaction, { workspace, device }, how);
          example ??= { device, changes: relayered?.changes ?? [] };
          const { generation, changes = [] } = relayered ?? {};
          if (generation === undefined) continue;
          asked.push({ device, generation, modules: [...new Set(changes.map(({ module }) => module))] });
        }
        const done = { ...written, devices: devices.length, example };
        if (dryRun) throw new DryRun(done);
        return done;
      });
    } catch (error) {
      if (error instanceof DryRun) return error.outcome;
      throw error;
    }
    if (asked.length > 0) onCommitted();
    for (const { device, generation, modules } of asked) twin.announce({ workspace, device }, generation, modules);
    return outcome;
  }

  /** Whatever one device cannot take is said with its name: nothing of the layer is saved then. */
  private async relayer(
    transaction: Database,
    address: { readonly workspace: string; readonly device: string },
    how: Parameters<LayerTwin['relayerWithin']>[2],
  ): ReturnType<LayerTwin['relayerWithin']> {
    try {
      return await this.twin.relayerWithin(transaction, address, how);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      const { code, message, details } = error;
      throw new AppError(code, `device ${address.device}: ${message}`, details && { details });
    }
  }
}

function refuseTooWide(name: string, devices: number): void {
  if (devices <= maxDevices) return;
  throw new AppError(
    'layer.too-wide',
    `${String(devices)} devices would change at once, and ${String(maxDevices)} may: save it with --staged, then ` +
      `bring it to them with flotilla rollout start of the release that they have`,
    { details: { layer: name, devices, maxDevices } },
  );
}

/** What a person says of it. */
function saidIn({ description, where, priority, staged, modules }: StoredLayer): object {
  return { description, where, priority, staged, modules };
}

async function resolve(
  transaction: Database,
  workspace: string,
  given: LayerContents['modules'],
): Promise<Record<string, LayerModule>> {
  const deployments = new DeploymentRepository(transaction);
  const modules: [string, LayerModule][] = [];
  for (const [module, { image: reference, ...said }] of Object.entries(given)) {
    if (reference === undefined) {
      modules.push([module, said]);
      continue;
    }
    const image = await deployments.findImage(workspace, reference);
    if (image === undefined) {
      throw new AppError(
        'image.not-found',
        `module ${module}: there is no image ${reference} in workspace ${workspace}: flotilla image list shows what there is`,
      );
    }
    const { name, version, digest } = image;
    modules.push([module, { image: { name, version, digest }, ...said }]);
  }
  return Object.fromEntries(modules);
}
