/** Endpoints in SQL. A deleted one stays as a row, so that its deployments still belong somewhere. */
import type { Selectable } from 'kysely';
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import type { Tags } from '#shared/protocol/primitives.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { EndpointTable } from '#cloud/store/service-tables.js';
import type { Endpoint, Mirror, Traffic } from './endpoint-model.js';

type Changing = 'auth' | 'keyVersions' | 'traffic' | 'description' | 'tags' | 'generation' | 'updatedAt';

/** What is not said stays. */
export type EndpointChange = { readonly [Field in Changing]?: Endpoint[Field] | undefined } & {
  /** Null: none any more. */
  readonly mirror?: Mirror | null | undefined;
};

export class EndpointRepository {
  constructor(private readonly db: Database) {}

  within(transaction: Database): EndpointRepository {
    return new EndpointRepository(transaction);
  }

  async insert(endpoint: Endpoint): Promise<void> {
    const { id, workspace, name, auth, keyVersions, traffic, mirror, tags, ...rest } = endpoint;
    await this.db
      .insertInto('endpoints')
      .values({
        ...{ id, workspace, name, ...rest, authMode: auth, deletedAt: null },
        ...{ primaryVersion: keyVersions.primary, secondaryVersion: keyVersions.secondary },
        trafficJson: JSON.stringify(traffic),
        mirrorJson: mirror === undefined ? null : JSON.stringify(mirror),
        tagsJson: JSON.stringify(tags),
      })
      .execute();
  }

  async find(workspace: string, name: string): Promise<Endpoint | undefined> {
    const row = await this.living().where('workspace', '=', workspace).where('name', '=', name).executeTakeFirst();
    return row && toEndpoint(row);
  }

  /** Undefined for one that was deleted. */
  async findById(id: string): Promise<Endpoint | undefined> {
    const row = await this.living().where('id', '=', id).executeTakeFirst();
    return row && toEndpoint(row);
  }

  /** @throws AppError `endpoint.not-found` */
  async require(workspace: string, name: string): Promise<Endpoint> {
    const found = await this.find(workspace, name);
    if (found) return found;
    const others = await this.living().where('workspace', '=', workspace).execute();
    const near = nearest(
      name,
      others.map((other) => other.name),
    );
    const help = near === undefined ? 'flotilla endpoint list shows those there are' : `did you mean ${near}?`;
    throw new AppError('endpoint.not-found', `there is no endpoint ${name} in workspace ${workspace}: ${help}`);
  }

  /** By name; `after` is the last name of the page before. */
  async list(workspace: string, limit: number, after?: string): Promise<Endpoint[]> {
    const query = this.living().where('workspace', '=', workspace).orderBy('name').limit(limit);
    const rows = await (after === undefined ? query : query.where('name', '>', after)).execute();
    return rows.map(toEndpoint);
  }

  /** Of every workspace. */
  async all(): Promise<Endpoint[]> {
    return (await this.living().orderBy('id').execute()).map(toEndpoint);
  }

  async count(): Promise<number> {
    const { count } = await this.db
      .selectFrom('endpoints')
      .select((query) => query.fn.countAll<number>().as('count'))
      .where('deletedAt', 'is', null)
      .executeTakeFirstOrThrow();
    return count;
  }

  async change(id: string, change: EndpointChange): Promise<void> {
    const { auth, keyVersions, traffic, mirror, tags, ...rest } = change;
    await this.db
      .updateTable('endpoints')
      .set({
        ...rest,
        ...(auth === undefined ? {} : { authMode: auth }),
        ...(keyVersions && { primaryVersion: keyVersions.primary, secondaryVersion: keyVersions.secondary }),
        ...(traffic === undefined ? {} : { trafficJson: JSON.stringify(traffic) }),
        ...(mirror === undefined ? {} : { mirrorJson: mirror === null ? null : JSON.stringify(mirror) }),
        ...(tags === undefined ? {} : { tagsJson: JSON.stringify(tags) }),
      })
      .where('id', '=', id)
      .execute();
  }

  async delete(id: string, at: string): Promise<void> {
    await this.db.updateTable('endpoints').set({ deletedAt: at }).where('id', '=', id).execute();
  }

  private living() {
    return this.db.selectFrom('endpoints').selectAll().where('deletedAt', 'is', null);
  }
}

function toEndpoint(row: Selectable<EndpointTable>): Endpoint {
  const { id, workspace, name, description, generation, createdAt, createdBy, updatedAt } = row;
  return {
    ...{ id, workspace, name, description, generation, createdAt, createdBy, updatedAt },
    auth: row.authMode,
    keyVersions: { primary: row.primaryVersion, secondary: row.secondaryVersion },
    traffic: JSON.parse(row.trafficJson) as Traffic,
    mirror: row.mirrorJson === null ? undefined : (JSON.parse(row.mirrorJson) as Mirror),
    tags: JSON.parse(row.tagsJson) as Tags,
  };
}
