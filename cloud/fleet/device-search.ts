/** Devices that a query finds: a page of them, how many, and what in the query no device knows. */
import type { SelectQueryBuilder } from 'kysely';
import { nearest } from '#shared/kernel/names.js';
import type { ControlDatabase } from '#cloud/store/tables.js';
import type { Database, DeviceRow } from './device-repository.js';
import { plainWords } from './query/properties.js';
import { type Query, tagsIn } from './query/query-ast.js';
import { queryCondition } from './query/query-sql.js';

export interface DeviceCount {
  readonly count: number;
  readonly online: number;
}

/** So many names of tags are read for a suggestion, no more. */
const knownTags = 200;

/** Devices in service that match, without order. */
export function matchingDevices(
  db: Database,
  workspace: string,
  query: Query,
): SelectQueryBuilder<ControlDatabase, 'devices', object> {
  return db
    .selectFrom('devices')
    .where('devices.workspace', '=', workspace)
    .where('devices.retiredAt', 'is', null)
    .where((builder) => queryCondition(builder, workspace, query));
}

export class DeviceSearch {
  constructor(private readonly db: Database) {}

  /** Devices in service, by name; `after` is the last name of the page before. */
  async page(workspace: string, query: Query, limit: number, after?: string): Promise<DeviceRow[]> {
    const found = matchingDevices(this.db, workspace, query).selectAll().orderBy('name').limit(limit);
    return (after === undefined ? found : found.where('name', '>', after)).execute();
  }

  async count(workspace: string, query: Query): Promise<DeviceCount> {
    const { count, online } = await matchingDevices(this.db, workspace, query)
      .select((select) => [
        select.fn.countAll<number>().as('count'),
        select.fn.coalesce(select.fn.sum<number>('online'), select.lit(0)).as('online'),
      ])
      .executeTakeFirstOrThrow();
    return { count, online };
  }

  /** Sentences on tags that no device of the workspace has: most often a word is mistyped. */
  async notesOn(workspace: string, query: Query): Promise<string[]> {
    const unknown: string[] = [];
    for (const tag of tagsIn(query)) {
      const name = `tags.${tag}`;
      if ((await this.nextName(workspace, name, '>=')) !== name) unknown.push(tag);
    }
    if (unknown.length === 0) return [];
    const tags = await this.tagNames(workspace);
    return unknown.map((tag) => {
      const near = nearest(tag, [...plainWords, ...tags]);
      return `no device has a tag ${tag}${near === undefined ? '' : `; did you mean ${near}?`}`;
    });
  }

  private async tagNames(workspace: string): Promise<string[]> {
    const names: string[] = [];
    let name = await this.nextName(workspace, 'tags.', '>');
    while (name?.startsWith('tags.') === true && names.length < knownTags) {
      names.push(name.slice('tags.'.length));
      name = await this.nextName(workspace, name, '>');
    }
    return names;
  }

  /** One step along the index, however many devices have the name. */
  private async nextName(workspace: string, from: string, how: '>' | '>='): Promise<string | undefined> {
    const row = await this.db
      .selectFrom('deviceFacts')
      .select('name')
      .where('workspace', '=', workspace)
      .where('name', how, from)
      .orderBy('name')
      .limit(1)
      .executeTakeFirst();
    return row?.name;
  }
}
