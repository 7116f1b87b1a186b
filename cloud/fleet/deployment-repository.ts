/** Deployments of modules on devices: which image answers under which name, since which generation. */
import { AppError } from '#shared/kernel/errors.js';
import { restartPolicySchema, settingsSchema, updatePolicySchema } from '#shared/protocol/desired.js';
import { routeOverridesSchema } from '#shared/protocol/route.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import type { DeploymentTable, ImageTable } from '#cloud/store/tables.js';
import { parseReference } from '#shared/kernel/names.js';
import type { Insertable, NotNull } from 'kysely';
import { variantsOf } from '#cloud/store/image-variants.js';
import { CollectionRepository } from './collection-repository.js';
import type { DeployedModule } from './desired-document.js';
import type { Database } from './device-repository.js';
import { ShadowRepository } from './shadow-repository.js';

export class DeploymentRepository {
  constructor(private readonly db: Database) {}

  within(transaction: Database): DeploymentRepository {
    return new DeploymentRepository(transaction);
  }

  /** What the newest generation of each of these devices carries, by device. */
  async listCurrent(workspace: string, devices: readonly string[]): Promise<Map<string, DeployedModule[]>> {
    const rows = await this.db
      .selectFrom('deployments')
      .innerJoin('images', (join) =>
        join
          .onRef('images.workspace', '=', 'deployments.workspace')
          .onRef('images.digest', '=', 'deployments.imageDigest'),
      )
      .select([
        'deployments.device',
        'deployments.module',
        'deployments.settingsJson',
        'deployments.policyJson',
        'deployments.updateJson',
        'deployments.routesJson',
        'deployments.startAfterJson',
        'images.name',
        'images.version',
        'images.digest',
        'images.flavor',
        'images.manifestSize',
        'images.signatureDigest',
        'images.signatureSize',
      ])
      .where('deployments.workspace', '=', workspace)
      .where('deployments.device', 'in', [...devices])
      .where('deployments.removedGeneration', 'is', null)
      .orderBy('deployments.module')
      // A row of a device has both.
      .$narrowType<{ device: NotNull; module: NotNull }>()
      .execute();
    const shadows = await new ShadowRepository(this.db).list(workspace, devices);
    const collections = await new CollectionRepository(this.db).list(workspace, devices);
    const byDevice = new Map<string, DeployedModule[]>();
    for (const {
      device,
      module,
      settingsJson,
      policyJson,
      updateJson,
      routesJson,
      startAfterJson,
      flavor,
      ...image
    } of rows) {
      const modules = byDevice.get(device) ?? [];
      modules.push({
        module,
        settings: settingsSchema.parse(JSON.parse(settingsJson)),
        policy: restartPolicySchema.parse(JSON.parse(policyJson)),
        update: updatePolicySchema.parse(JSON.parse(updateJson)),
        routes: routeOverridesSchema.parse(JSON.parse(routesJson)),
        startAfter: JSON.parse(startAfterJson) as string[],
        ...(flavor === 'index' ? { variants: await variantsOf(this.db, workspace, image.digest) } : {}),
        image,
        shadow: shadows.get(device)?.get(module),
        collect: collections.get(device)?.get(module),
      });
      byDevice.set(device, modules);
    }
    return byDevice;
  }

  async listCurrentOf({ workspace, device }: DeviceAddress): Promise<DeployedModule[]> {
    return (await this.listCurrent(workspace, [device])).get(device) ?? [];
  }

  /** @param reference `name:version` or a manifest digest */
  async findImage(workspace: string, reference: string): Promise<ImageTable | undefined> {
    const query = this.db
      .selectFrom('images')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('deletedAt', 'is', null);
    const named = parseReference(reference);
    return named
      ? query.where('name', '=', named.name).where('version', '=', named.version).executeTakeFirst()
      : query.where('digest', '=', reference).executeTakeFirst();
  }

  /** @throws AppError `image.not-found` */
  async requireImage(workspace: string, reference: string): Promise<ImageTable> {
    const image = await this.findImage(workspace, reference);
    if (image) return image;
    throw new AppError(
      'image.not-found',
      `there is no image ${reference} in workspace ${workspace}: flotilla image list shows what there is, flotilla image build makes one`,
    );
  }

  async insert(deployment: Insertable<DeploymentTable>): Promise<void> {
    await this.db.insertInto('deployments').values(deployment).execute();
  }

  /** @returns how many deployments ended: of one module, or of all of the device */
  async end({ workspace, device }: DeviceAddress, generation: number, module?: string): Promise<number> {
    const query = this.db
      .updateTable('deployments')
      .set({ removedGeneration: generation })
      .where('workspace', '=', workspace)
      .where('device', '=', device)
      .where('removedGeneration', 'is', null);
    const result = await (module === undefined ? query : query.where('module', '=', module)).executeTakeFirst();
    return Number(result.numUpdatedRows);
  }

  /** Digests of everything that fetching an image may touch, with their media types. */
  async listImageBlobs(workspace: string, imageDigest: string): Promise<{ digest: string; mediaType: string }[]> {
    return this.db
      .selectFrom('imageBlobs')
      .select(['digest', 'mediaType'])
      .where('workspace', '=', workspace)
      .where('imageDigest', '=', imageDigest)
      .execute();
  }
}
