/** Releases in SQL. What one holds is written once; only whether it is still there changes. */
import type { Selectable } from 'kysely';
import { AppError } from '#shared/kernel/errors.js';
import { formatReference, parseReference, type Reference } from '#shared/kernel/names.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import { restartPolicySchema, settingsSchema, updatePolicySchema } from '#shared/protocol/desired.js';
import { routeOverridesSchema } from '#shared/protocol/route.js';
import type { ReleaseContents } from '#cloud/http/schemas/releases.js';
import { newestFirst, type Page, type PageRequest, versionKey } from '#cloud/store/page.js';
import { livingVersions } from '#cloud/store/living-versions.js';
import { nextVersion } from '#cloud/store/next-version.js';
import type { ReleaseTable } from '#cloud/store/release-tables.js';
import type { ControlStore, ControlTransaction } from '#cloud/store/control-database.js';
import { DeploymentRepository } from './deployment-repository.js';
import type { Database } from './device-repository.js';
import { checkRequirements, checkStartOrder, type ReleasedModule } from './release-plan.js';

export interface Release extends Reference {
  readonly description: string;
  /** The modules that change take over together, or none of them does. */
  readonly atomic: boolean;
  /** By name. */
  readonly modules: readonly ReleasedModule[];
  readonly createdAt: string;
}

export class ReleaseRepository {
  constructor(private readonly db: ControlStore) {}

  /**
   * The next version of its name, each image at the digest that its reference names now.
   *
   * @param unlessSame the newest version is given back where it is the same already
   * @throws AppError `image.not-found`, `release.invalid`
   */
  async create(
    workspace: string,
    contents: ReleaseContents,
    at: string,
    unlessSame = false,
  ): Promise<Release & { readonly created: boolean }> {
    const { name, description, atomic } = contents;
    return this.db.transaction().execute(async (db) => {
      const modules = await resolveModules(db, workspace, contents);
      checkRequirements(modules);
      checkStartOrder(modules);
      const newest = unlessSame ? await newestOf(db, workspace, name) : undefined;
      if (newest && canonicalJson(partsOf(newest)) === canonicalJson(partsOf({ description, atomic, modules }))) {
        return { ...newest, created: false };
      }
      const version = await nextVersion(db, 'releases', workspace, name);
      const head = { workspace, name, version };
      await db
        .insertInto('releases')
        .values({ ...head, description, atomic: atomic ? 1 : 0, createdAt: at, deletedAt: null })
        .execute();
      await db
        .insertInto('releaseModules')
        .values(
          modules.map(({ module, image, settings, policy, update, requires, routes = {}, startAfter = [] }) => ({
            ...{ ...head, module, imageDigest: image.digest, settingsJson: JSON.stringify(settings) },
            ...{ policyJson: JSON.stringify(policy), updateJson: JSON.stringify(update) },
            requiresJson: JSON.stringify(requires),
            ...{ routesJson: JSON.stringify(routes), startAfterJson: JSON.stringify(startAfter) },
          })),
        )
        .execute();
      return { name, version, description, atomic, modules, createdAt: at, created: true };
    });
  }

  /** Newest first. */
  async list(
    workspace: string,
    filter: { readonly name?: string | undefined },
    page: PageRequest,
  ): Promise<Page<Release>> {
    let query = this.db
      .selectFrom('releases')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('deletedAt', 'is', null);
    if (filter.name !== undefined) query = query.where('name', '=', filter.name);
    const found = await newestFirst(query, versionKey, page);
    return { ...found, items: await Promise.all(found.items.map((row) => withModules(this.db, row))) };
  }

  /**
   * @param reference `name:version`
   * @throws AppError `request.invalid`, `release.not-found`
   */
  async require(workspace: string, reference: string): Promise<Release> {
    const named = parseReference(reference);
    if (named === undefined) {
      throw new AppError(
        'request.invalid',
        `"${reference.slice(0, 100)}" names no release; write for example vision:1`,
      );
    }
    const row = await this.db
      .selectFrom('releases')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('name', '=', named.name)
      .where('version', '=', named.version)
      .where('deletedAt', 'is', null)
      .executeTakeFirst();
    if (row) return withModules(this.db, row);
    throw notFound(workspace, named, await livingVersions(this.db, 'releases', workspace, named.name));
  }

  /** @returns name:version. @throws AppError `release.not-found` */
  async newest(workspace: string, name: string): Promise<string> {
    const found = await newestOf(this.db, workspace, name);
    if (found !== undefined) return formatReference(found);
    throw new AppError(
      'release.not-found',
      `there is no release ${name} in workspace ${workspace}: flotilla release list shows those there are`,
    );
  }

  /** @throws AppError `release.in-use` while a device has it, `release.not-found` */
  async delete(workspace: string, reference: string, at: string): Promise<void> {
    const { name, version } = await this.require(workspace, reference);
    await this.db.transaction().execute(async (db) => {
      const devices = await db
        .selectFrom('devices')
        .select('name')
        .where('workspace', '=', workspace)
        .where('retiredAt', 'is', null)
        .where('desiredRelease', '=', formatReference({ name, version }))
        .orderBy('name')
        .limit(20)
        .execute();
      if (devices.length > 0) {
        const names = devices.map((device) => device.name);
        throw new AppError(
          'release.in-use',
          `${reference} is deployed to ${names.join(', ')}: deploy another release there first`,
          { details: { devices: names } },
        );
      }
      const rollouts = await db
        .selectFrom('rollouts')
        .select('number')
        .where('workspace', '=', workspace)
        .where('release', '=', formatReference({ name, version }))
        .where('endedAt', 'is', null)
        .execute();
      if (rollouts.length > 0) {
        const numbers = rollouts.map(({ number }) => number);
        throw new AppError(
          'release.in-use',
          `${reference} is on its way by rollout ${numbers.join(', ')}: abort it first`,
          {
            details: { rollouts: numbers },
          },
        );
      }
      const of = { workspace, name, version };
      await db
        .deleteFrom('releaseModules')
        .where((where) => where.and(of))
        .execute();
      await db
        .updateTable('releases')
        .set({ deletedAt: at })
        .where((where) => where.and(of))
        .execute();
    });
  }
}

async function resolveModules(
  db: ControlTransaction,
  workspace: string,
  { modules }: ReleaseContents,
): Promise<ReleasedModule[]> {
  const deployments = new DeploymentRepository(db);
  const resolved: ReleasedModule[] = [];
  for (const module of Object.keys(modules).sort()) {
    const given = modules[module];
    if (given === undefined) continue;
    const { image: reference, settings, policy, update, requires, routes = {}, startAfter } = given;
    const image = await deployments.findImage(workspace, reference);
    if (image === undefined) {
      throw new AppError(
        'image.not-found',
        `module ${module}: there is no image ${reference} in workspace ${workspace}: flotilla image list shows what there is`,
      );
    }
    const { name, version, digest } = image;
    resolved.push({
      ...{ module, image: { name, version, digest }, settings, policy, update, requires, routes },
      startAfter: [...new Set(startAfter)].sort(),
    });
  }
  return resolved;
}

async function newestOf(db: Database, workspace: string, name: string): Promise<Release | undefined> {
  const row = await db
    .selectFrom('releases')
    .selectAll()
    .where('workspace', '=', workspace)
    .where('name', '=', name)
    .where('deletedAt', 'is', null)
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row && withModules(db, row);
}

async function withModules(db: Database, row: Selectable<ReleaseTable>): Promise<Release> {
  const { workspace, name, version, description, atomic, createdAt } = row;
  const modules = await db
    .selectFrom('releaseModules')
    .innerJoin('images', (join) =>
      join
        .onRef('images.workspace', '=', 'releaseModules.workspace')
        .onRef('images.digest', '=', 'releaseModules.imageDigest'),
    )
    .select(['releaseModules.module', 'releaseModules.settingsJson', 'releaseModules.policyJson'])
    .select(['releaseModules.updateJson', 'releaseModules.requiresJson'])
    .select(['releaseModules.routesJson', 'releaseModules.startAfterJson'])
    .select(['images.name', 'images.version', 'images.digest'])
    .where('releaseModules.workspace', '=', workspace)
    .where('releaseModules.name', '=', name)
    .where('releaseModules.version', '=', version)
    .orderBy('releaseModules.module')
    .execute();
  return {
    ...{ name, version, description, atomic: atomic === 1, createdAt },
    modules: modules.map(({ module, name: imageName, version: imageVersion, digest, ...json }) => ({
      module,
      image: { name: imageName, version: imageVersion, digest },
      settings: settingsSchema.parse(JSON.parse(json.settingsJson)),
      policy: restartPolicySchema.parse(JSON.parse(json.policyJson)),
      update: updatePolicySchema.parse(JSON.parse(json.updateJson)),
      requires: JSON.parse(json.requiresJson) as Record<string, string>,
      routes: routeOverridesSchema.parse(JSON.parse(json.routesJson)),
      startAfter: JSON.parse(json.startAfterJson) as string[],
    })),
  };
}

/** What makes two versions the same. */
function partsOf({ description, atomic, modules }: Pick<Release, 'description' | 'atomic' | 'modules'>): object {
  return { description, atomic, modules };
}

function notFound(workspace: string, { name, version }: Reference, versions: readonly number[]): AppError {
  return new AppError(
    'release.not-found',
    versions.length === 0
      ? `there is no release "${name}" in workspace ${workspace}: flotilla release list shows those there are`
      : `there is no release ${name}:${String(version)}; there are versions ${versions.slice(-20).join(', ')}`,
  );
}
