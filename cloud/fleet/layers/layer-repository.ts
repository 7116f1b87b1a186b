/** Layers in SQL: heads, which change, and versions, which do not. */
import type { Selectable } from 'kysely';
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import type { LayerTable } from '#cloud/store/layer-tables.js';
import type { Database } from '../device-repository.js';
import { type Query, querySchema } from '../query/query-ast.js';
import type { Layer } from './merge.js';
import type { LayerRef } from './take.js';

/** A layer as it is now. */
export interface StoredLayer extends Layer {
  readonly workspace: string;
  readonly description: string;
  /** Devices take it only with a release that is deployed to them. */
  readonly staged: boolean;
  /** As it was written, and as it was understood then. */
  readonly where: string;
  readonly query: Query;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export class LayerRepository {
  constructor(private readonly db: Database) {}

  /** By name: all of the workspace, or so many after the last name of the page before. */
  async list(
    workspace: string,
    { limit, after }: { readonly limit?: number; readonly after?: string | undefined } = {},
  ): Promise<StoredLayer[]> {
    let query = this.db
      .selectFrom('layers as l')
      .innerJoin('layerVersions as v', (join) =>
        join
          .onRef('v.workspace', '=', 'l.workspace')
          .onRef('v.name', '=', 'l.name')
          .onRef('v.version', '=', 'l.version'),
      )
      .selectAll('l')
      .select(['v.priority', 'v.modulesJson'])
      .where('l.workspace', '=', workspace)
      .orderBy('l.name');
    if (after !== undefined) query = query.where('l.name', '>', after);
    if (limit !== undefined) query = query.limit(limit);
    return (await query.execute()).map(toLayer);
  }

  /** @throws AppError `layer.not-found` */
  async require(workspace: string, name: string): Promise<StoredLayer> {
    const all = await this.list(workspace);
    const found = all.find((one) => one.name === name);
    if (found !== undefined) return found;
    const near = nearest(
      name,
      all.map((one) => one.name),
    );
    const help = near === undefined ? 'flotilla layer list shows those there are' : `did you mean ${near}?`;
    throw new AppError('layer.not-found', `there is no layer ${name} in workspace ${workspace}: ${help}`);
  }

  /** What these versions say; they are there also when their layer is not any more. */
  async versions(workspace: string, refs: readonly LayerRef[]): Promise<Layer[]> {
    const found: Layer[] = [];
    for (const { name, version } of refs) {
      const row = await this.db
        .selectFrom('layerVersions')
        .select(['name', 'version', 'priority', 'modulesJson'])
        .where((where) => where.and({ workspace, name, version }))
        .executeTakeFirstOrThrow();
      const { modulesJson, ...rest } = row;
      found.push({ ...rest, modules: JSON.parse(modulesJson) as Layer['modules'] });
    }
    return found;
  }

  /** The number that no version of the name has had, also not before it was deleted. */
  async nextVersion(workspace: string, name: string): Promise<number> {
    const { newest } = await this.db
      .selectFrom('layerVersions')
      .select((query) => query.fn.max('version').as('newest'))
      .where((where) => where.and({ workspace, name }))
      .executeTakeFirstOrThrow();
    return Number(newest ?? 0) + 1;
  }

  /** @param isNew whether its version is one that is not there yet */
  async save({ workspace, name, version, priority, modules, ...head }: StoredLayer, isNew: boolean): Promise<void> {
    if (isNew) {
      await this.db
        .insertInto('layerVersions')
        .values({ workspace, name, version, priority, modulesJson: JSON.stringify(modules) })
        .execute();
    }
    const { where: queryText, query, staged, ...texts } = head;
    const row = { version, queryText, queryJson: JSON.stringify(query), staged: staged ? 1 : 0, ...texts };
    await this.db
      .insertInto('layers')
      .values({ workspace, name, ...row })
      .onConflict((conflict) => conflict.columns(['workspace', 'name']).doUpdateSet(row))
      .execute();
  }

  async delete(workspace: string, name: string): Promise<void> {
    await this.db
      .deleteFrom('layers')
      .where((where) => where.and({ workspace, name }))
      .execute();
  }
}

function toLayer({
  queryText,
  queryJson,
  staged,
  modulesJson,
  ...row
}: Selectable<LayerTable> & { readonly priority: number; readonly modulesJson: string }): StoredLayer {
  return {
    ...row,
    where: queryText,
    query: querySchema.parse(JSON.parse(queryJson)),
    staged: staged === 1,
    modules: JSON.parse(modulesJson) as Layer['modules'],
  };
}
