/**
 * Models. Versions count up from 1 per name and are never given twice, deleted ones included; files and
 * properties never change. Every query names the workspace.
 */
import { type Kysely, type Selectable, sql } from 'kysely';
import type { Digest, Tags } from '#shared/protocol/primitives.js';
import { mediaTypes } from '#shared/package/media-types.js';
import type { SignatureBody } from '#cloud/http/schemas/models.js';
import { missingBlobs } from './blob-repository.js';
import type { ControlStore, ControlTransaction } from './control-database.js';
import { livingVersions } from './living-versions.js';
import { nextVersion } from './next-version.js';
import { servicesThat } from './service-images.js';
import { newestFirst, type Page, type PageRequest, versionKey } from './page.js';
import { applyTagPatch, type TagPatch } from './tag-patch.js';
import type { ControlDatabase, ModelTable } from './tables.js';

export interface ModelFile {
  readonly path: string;
  readonly digest: Digest;
  readonly size: number;
}

export interface NewModel {
  readonly name: string;
  readonly description: string;
  readonly tags: Tags;
  readonly properties: Tags;
  /** The graph first. */
  readonly files: readonly ModelFile[];
  readonly signature: SignatureBody;
  readonly createdAt: string;
}

export interface StoredModel extends NewModel {
  readonly workspace: string;
  readonly version: number;
  readonly size: number;
}

export interface ModelFilter {
  readonly name?: string | undefined;
  /** All of them must hold; a value that is undefined asks only for the tag. */
  readonly tags?: readonly { readonly name: string; readonly value: string | undefined }[];
}

export type RegisterOutcome =
  | { readonly kind: 'registered'; readonly version: number }
  | { readonly kind: 'missing-blobs'; readonly digests: readonly Digest[] };

export type DeleteOutcome =
  | { readonly kind: 'deleted' | 'absent' }
  | { readonly kind: 'in-use'; readonly devices: readonly string[] }
  /** These web services run it, as endpoint/deployment. */
  | { readonly kind: 'served'; readonly services: readonly string[] };

export class ModelRepository {
  constructor(private readonly db: ControlStore) {}

  /** Also writes the result into the activity that does it: a rerun after a crash finds that it was done. */
  async register(
    workspace: string,
    model: NewModel,
    activity: { readonly id: string; readonly resourceOf: (version: number) => string },
  ): Promise<RegisterOutcome> {
    return this.db.transaction().execute(async (db): Promise<RegisterOutcome> => {
      const digests = await missingBlobs(
        db,
        workspace,
        model.files.map((file) => file.digest),
      );
      if (digests.length > 0) return { kind: 'missing-blobs', digests };
      const version = await nextVersion(db, 'models', workspace, model.name);
      const key = { workspace, name: model.name, version };
      await db
        .insertInto('models')
        .values({
          ...key,
          description: model.description,
          tagsJson: JSON.stringify(model.tags),
          propertiesJson: JSON.stringify(model.properties),
          signatureJson: JSON.stringify(model.signature),
          size: model.files.reduce((sum, file) => sum + file.size, 0),
          createdAt: model.createdAt,
          deletedAt: null,
        })
        .execute();
      await db
        .insertInto('modelFiles')
        .values(model.files.map((file, position) => ({ ...key, position, ...file })))
        .execute();
      await db
        .updateTable('activities')
        .set({ resource: activity.resourceOf(version) })
        .where('id', '=', activity.id)
        .execute();
      return { kind: 'registered', version };
    });
  }

  async find(workspace: string, name: string, version: number): Promise<StoredModel | undefined> {
    const row = await this.db
      .selectFrom('models')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('name', '=', name)
      .where('version', '=', version)
      .where('deletedAt', 'is', null)
      .executeTakeFirst();
    return row === undefined ? undefined : this.withFiles(row);
  }

  /** Those that are not deleted. */
  versions(workspace: string, name: string): Promise<readonly number[]> {
    return livingVersions(this.db, 'models', workspace, name);
  }

  /** Newest first. */
  async list(workspace: string, filter: ModelFilter, page: PageRequest): Promise<Page<StoredModel>> {
    let query = this.db
      .selectFrom('models')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('deletedAt', 'is', null);
    if (filter.name !== undefined) query = query.where('name', '=', filter.name);
    for (const { name, value } of filter.tags ?? []) {
      const field = sql<string | null>`json_extract(tagsJson, ${`$."${name}"`})`;
      query = value === undefined ? query.where(field, 'is not', null) : query.where(field, '=', value);
    }
    const found = await newestFirst(query, versionKey, page);
    return { ...found, items: await Promise.all(found.items.map((row) => this.withFiles(row))) };
  }

  /** False when there is no such version. */
  async patch(
    workspace: string,
    name: string,
    version: number,
    change: { readonly description?: string | undefined; readonly tags?: TagPatch | undefined },
  ): Promise<boolean> {
    return this.db.transaction().execute(async (db) => {
      const row = await db
        .selectFrom('models')
        .select(['tagsJson', 'description'])
        .where('workspace', '=', workspace)
        .where('name', '=', name)
        .where('version', '=', version)
        .where('deletedAt', 'is', null)
        .executeTakeFirst();
      if (row === undefined) return false;
      const tags = applyTagPatch(JSON.parse(row.tagsJson) as Tags, change.tags ?? {});
      await db
        .updateTable('models')
        .set({ tagsJson: JSON.stringify(tags), description: change.description ?? row.description })
        .where('workspace', '=', workspace)
        .where('name', '=', name)
        .where('version', '=', version)
        .execute();
      return true;
    });
  }

  /** The row stays, so that its version is never given again; its blobs become garbage. */
  async delete(workspace: string, name: string, version: number, at: string): Promise<DeleteOutcome> {
    return this.db.transaction().execute(async (db): Promise<DeleteOutcome> => {
      const devices = await devicesRunning(db, workspace, name, version);
      if (devices.length > 0) return { kind: 'in-use', devices };
      const services = await servicesThat(
        db,
        workspace,
        sql`exists (select 1 from models m where m.workspace = d.workspace and m.name = ${name} and m.version = ${version}
          and m.deletedAt is null and ${carries(sql`d.imageDigest`)})`,
      );
      if (services.length > 0) return { kind: 'served', services };
      const result = await db
        .updateTable('models')
        .set({ deletedAt: at })
        .where('workspace', '=', workspace)
        .where('name', '=', name)
        .where('version', '=', version)
        .where('deletedAt', 'is', null)
        .executeTakeFirst();
      return { kind: result.numUpdatedRows === 1n ? 'deleted' : 'absent' };
    });
  }

  /** Models of which the image carries every file, as `name:version`. */
  async carriedBy(workspace: string, imageDigest: Digest): Promise<readonly string[]> {
    const rows = await sql<{ name: string; version: number }>`
      select m.name, m.version from models m
      where m.workspace = ${workspace} and m.deletedAt is null and ${carries(sql`${imageDigest}`)}
      order by m.name, m.version`.execute(this.db);
    return rows.rows.map((row) => `${row.name}:${String(row.version)}`);
  }

  private async withFiles(row: Selectable<ModelTable>): Promise<StoredModel> {
    const files = await this.db
      .selectFrom('modelFiles')
      .select(['path', 'digest', 'size'])
      .where('workspace', '=', row.workspace)
      .where('name', '=', row.name)
      .where('version', '=', row.version)
      .orderBy('position')
      .execute();
    return {
      workspace: row.workspace,
      name: row.name,
      version: row.version,
      description: row.description,
      tags: JSON.parse(row.tagsJson) as Tags,
      properties: JSON.parse(row.propertiesJson) as Tags,
      files,
      signature: JSON.parse(row.signatureJson) as SignatureBody,
      size: row.size,
      createdAt: row.createdAt,
    };
  }
}

async function devicesRunning(
  db: ControlTransaction,
  workspace: string,
  name: string,
  version: number,
): Promise<readonly string[]> {
  const rows = await sql<{ device: string }>`
    select distinct d.device from deployments d
    join models m on m.workspace = d.workspace and m.name = ${name} and m.version = ${version} and m.deletedAt is null
    where d.workspace = ${workspace} and d.device is not null and d.removedGeneration is null
      and ${carries(sql`d.imageDigest`)}
    order by d.device`.execute(db);
  return rows.rows.map((row) => row.device);
}

/** Digests of images that carry every file of the model; none where there is no such model. */
export async function imagesCarrying(
  db: Kysely<ControlDatabase>,
  workspace: string,
  { name, version }: { readonly name: string; readonly version: number },
): Promise<string[]> {
  const { rows } = await sql<{ digest: string }>`
    select i.digest from images i
    join models m on m.workspace = i.workspace and m.name = ${name} and m.version = ${version} and m.deletedAt is null
    where i.workspace = ${workspace} and i.deletedAt is null and i.flavor <> 'index' and ${carries(sql`i.digest`)}
    order by i.digest`.execute(db);
  return rows.map(({ digest }) => digest);
}

/** Is every file of model `m` a weight layer of the image? */
function carries(imageDigest: ReturnType<typeof sql>): ReturnType<typeof sql<boolean>> {
  return sql<boolean>`not exists (
    select 1 from modelFiles f where f.workspace = m.workspace and f.name = m.name and f.version = m.version
    and not exists (select 1 from imageBlobs b where b.workspace = f.workspace and b.imageDigest = ${imageDigest}
      and b.digest = f.digest and b.mediaType = ${mediaTypes.weight}))`;
}
