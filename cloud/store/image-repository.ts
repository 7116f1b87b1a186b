/**
 * Images: OCI artifacts by digest, with a version per name. The same digest is one image, however often it
 * is registered. Every query names the workspace.
 */
import { type NotNull, type Selectable, sql } from 'kysely';
import { formatReference } from '#shared/kernel/names.js';
import type { Digest, Tags } from '#shared/protocol/primitives.js';
import { mediaTypes } from '#shared/package/media-types.js';
import { missingBlobs } from './blob-repository.js';
import type { ControlStore, ControlTransaction } from './control-database.js';
import type { DeleteOutcome } from './model-repository.js';
import { nextVersion } from './next-version.js';
import { newestFirst, type Page, type PageRequest, versionKey } from './page.js';
import type { IndexedVariant } from '#shared/package/variant-index.js';
import { indexesOf, insertVariants, type StoredVariant, variantsOf } from './image-variants.js';
import type { ImageTable } from './tables.js';
import { layersWith } from './layer-images.js';
import { servicesThat } from './service-images.js';
import { devicesLedBackTo } from './rollback-targets.js';

export interface ImageBlob {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  /** In the unpacked module; empty for what is not unpacked. */
  readonly path: string;
}

export interface NewImage {
  readonly name: string;
  readonly digest: Digest;
  readonly manifestSize: number;
  readonly flavor: ImageTable['flavor'];
  readonly signature: { readonly digest: Digest; readonly size: number; readonly keyIds: readonly string[] };
  readonly tags: Tags;
  /** Manifest, config, layers; of an index it alone. */
  readonly blobs: readonly ImageBlob[];
  /** Of an index, in its order: registered images. */
  readonly variants?: readonly IndexedVariant[];
  readonly createdAt: string;
}

export interface StoredImage extends Omit<NewImage, 'blobs' | 'variants'> {
  readonly workspace: string;
  readonly version: number;
  readonly size: number;
  readonly layers: readonly ImageBlob[];
  /** Of an index, in its order. */
  readonly variants: readonly StoredVariant[];
}

export type RegisterImageOutcome =
  | { readonly kind: 'registered'; readonly version: number; readonly isNew: boolean }
  | { readonly kind: 'missing-blobs'; readonly digests: readonly Digest[] };

export type ImageReference = { readonly digest: Digest } | { readonly name: string; readonly version: number };

/** `released`: these releases hold it, as name:version; `indexed`: these indexes choose among it and others. */
export type ImageDeleteOutcome =
  | DeleteOutcome
  | { readonly kind: 'released'; readonly releases: readonly string[] }
  | { readonly kind: 'layered'; readonly layers: readonly string[] }
  | { readonly kind: 'indexed'; readonly indexes: readonly string[] }
  /** A rollout may lead these devices back to it. */
  | { readonly kind: 'led-back-to'; readonly devices: readonly string[] };

export class ImageRepository {
  constructor(private readonly db: ControlStore) {}

  /** Also writes the result into the activity that does it: a rerun after a crash finds that it was done. */
  async register(
    workspace: string,
    image: NewImage,
    activity: { readonly id: string; readonly resource: string },
  ): Promise<RegisterImageOutcome> {
    return this.db.transaction().execute(async (db): Promise<RegisterImageOutcome> => {
      const digests = await missingBlobs(db, workspace, [
        ...image.blobs.map((blob) => blob.digest),
        image.signature.digest,
      ]);
      if (digests.length > 0) return { kind: 'missing-blobs', digests };
      const known = await db
        .selectFrom('images')
        .select('version')
        .where('workspace', '=', workspace)
        .where('digest', '=', image.digest)
        .executeTakeFirst();
      const version = known?.version ?? (await nextVersion(db, 'images', workspace, image.name));
      if (known) await renew(db, workspace, image);
      else {
        await insert(db, workspace, version, image);
        await insertVariants(db, workspace, image.digest, image.variants ?? []);
      }
      await addSignatureBlob(db, workspace, image);
      await db.updateTable('activities').set({ resource: activity.resource }).where('id', '=', activity.id).execute();
      return { kind: 'registered', version, isNew: known === undefined };
    });
  }

  async find(workspace: string, reference: ImageReference): Promise<StoredImage | undefined> {
    let query = this.db
      .selectFrom('images')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('deletedAt', 'is', null);
    query =
      'digest' in reference
        ? query.where('digest', '=', reference.digest)
        : query.where('name', '=', reference.name).where('version', '=', reference.version);
    const row = await query.executeTakeFirst();
    return row === undefined ? undefined : this.withLayers(row);
  }

  /** Newest first. */
  async list(
    workspace: string,
    filter: { readonly name?: string | undefined },
    page: PageRequest,
  ): Promise<Page<StoredImage>> {
    let query = this.db
      .selectFrom('images')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('deletedAt', 'is', null);
    if (filter.name !== undefined) query = query.where('name', '=', filter.name);
    const found = await newestFirst(query, versionKey, page);
    return { ...found, items: await Promise.all(found.items.map((row) => this.withLayers(row))) };
  }

  /** The row stays, so that its version is never given again; its blobs become garbage. */
  async delete(workspace: string, digest: Digest, at: string): Promise<ImageDeleteOutcome> {
    return this.db.transaction().execute(async (db): Promise<ImageDeleteOutcome> => {
      const devices = await db
        .selectFrom('deployments')
        .select('device')
        .distinct()
        .where('workspace', '=', workspace)
        .where('imageDigest', '=', digest)
        .where('removedGeneration', 'is', null)
        .where('device', 'is not', null)
        .orderBy('device')
        .$narrowType<{ device: NotNull }>()
        .execute();
      if (devices.length > 0) return { kind: 'in-use', devices: devices.map((row) => row.device) };
      const services = await servicesThat(db, workspace, sql`d.imageDigest = ${digest}`);
      if (services.length > 0) return { kind: 'served', services };
      const shadowed = await db
        .selectFrom('shadows')
        .select('device')
        .distinct()
        .where('workspace', '=', workspace)
        .where('imageDigest', '=', digest)
        .orderBy('device')
        .execute();
      if (shadowed.length > 0) return { kind: 'in-use', devices: shadowed.map((row) => row.device) };
      const leftBehind = await devicesLedBackTo(db, workspace, digest);
      if (leftBehind.length > 0) return { kind: 'led-back-to', devices: leftBehind };
      const layered = await layersWith(db, workspace, digest);
      if (layered.layers.length > 0) return { kind: 'layered', layers: layered.layers };
      if (layered.devices.length > 0) return { kind: 'in-use', devices: layered.devices };
      const releases = await db
        .selectFrom('releaseModules')
        .select(['name', 'version'])
        .distinct()
        .where('workspace', '=', workspace)
        .where('imageDigest', '=', digest)
        .orderBy('name')
        .orderBy('version')
        .limit(20)
        .execute();
      if (releases.length > 0) return { kind: 'released', releases: releases.map(formatReference) };
      const indexes = await indexesOf(db, workspace, digest);
      if (indexes.length > 0) return { kind: 'indexed', indexes };
      const result = await db
        .updateTable('images')
        .set({ deletedAt: at })
        .where('workspace', '=', workspace)
        .where('digest', '=', digest)
        .where('deletedAt', 'is', null)
        .executeTakeFirst();
      return { kind: result.numUpdatedRows === 1n ? 'deleted' : 'absent' };
    });
  }

  /** What the store's `index.json` lists: every image of every workspace. */
  async listForIndex(): Promise<
    readonly Pick<ImageTable, 'workspace' | 'name' | 'version' | 'digest' | 'manifestSize' | 'flavor'>[]
  > {
    return this.db
      .selectFrom('images')
      .select(['workspace', 'name', 'version', 'digest', 'manifestSize', 'flavor'])
      .where('deletedAt', 'is', null)
      .orderBy('workspace')
      .orderBy('name')
      .orderBy('version')
      .execute();
  }

  private async withLayers(row: Selectable<ImageTable>): Promise<StoredImage> {
    const blobs = await this.db
      .selectFrom('imageBlobs')
      .select(['mediaType', 'digest', 'size', 'path'])
      .where('workspace', '=', row.workspace)
      .where('imageDigest', '=', row.digest)
      .orderBy('position')
      .execute();
    const notLayers: readonly string[] = [
      ...[mediaTypes.manifest, mediaTypes.index, mediaTypes.config, mediaTypes.signature],
    ];
    const variants = row.flavor === 'index' ? await variantsOf(this.db, row.workspace, row.digest) : [];
    return {
      workspace: row.workspace,
      name: row.name,
      version: row.version,
      digest: row.digest,
      manifestSize: row.manifestSize,
      flavor: row.flavor,
      signature: {
        digest: row.signatureDigest,
        size: row.signatureSize,
        keyIds: JSON.parse(row.keyIdsJson) as string[],
      },
      layers: blobs.filter((blob) => !notLayers.includes(blob.mediaType)),
      variants,
      tags: JSON.parse(row.tagsJson) as Tags,
      size: row.size,
      createdAt: row.createdAt,
    };
  }
}

async function insert(db: ControlTransaction, workspace: string, version: number, image: NewImage): Promise<void> {
  await db
    .insertInto('images')
    .values({
      workspace,
      name: image.name,
      version,
      digest: image.digest,
      manifestSize: image.manifestSize,
      flavor: image.flavor,
      ...signatureColumns(image),
      tagsJson: JSON.stringify(image.tags),
      size: image.blobs.reduce((sum, blob) => sum + blob.size, 0),
      createdAt: image.createdAt,
      deletedAt: null,
    })
    .execute();
  await db
    .insertInto('imageBlobs')
    .values(image.blobs.map((blob, position) => ({ workspace, imageDigest: image.digest, position, ...blob })))
    .execute();
}

/** The same digest again: signature and tags are the newer ones, a deleted image is back. */
async function renew(db: ControlTransaction, workspace: string, image: NewImage): Promise<void> {
  await db
    .updateTable('images')
    .set({ ...signatureColumns(image), tagsJson: JSON.stringify(image.tags), deletedAt: null })
    .where('workspace', '=', workspace)
    .where('digest', '=', image.digest)
    .execute();
}

/** Earlier signatures stay fetchable: desired documents that name them are still out there. */
async function addSignatureBlob(db: ControlTransaction, workspace: string, image: NewImage): Promise<void> {
  const rows = await db
    .selectFrom('imageBlobs')
    .select(['digest', 'position'])
    .where('workspace', '=', workspace)
    .where('imageDigest', '=', image.digest)
    .execute();
  if (rows.some((row) => row.digest === image.signature.digest)) return;
  await db
    .insertInto('imageBlobs')
    .values({
      workspace,
      imageDigest: image.digest,
      digest: image.signature.digest,
      mediaType: mediaTypes.signature,
      path: '',
      size: image.signature.size,
      position: rows.length,
    })
    .execute();
}

function signatureColumns(image: NewImage): Pick<ImageTable, 'signatureDigest' | 'signatureSize' | 'keyIdsJson'> {
  return {
    signatureDigest: image.signature.digest,
    signatureSize: image.signature.size,
    keyIdsJson: JSON.stringify(image.signature.keyIds),
  };
}
