/** Deployments of web services in SQL: each revision is a row of its own, of which the current one has not ended. */
import type { Database } from '#cloud/fleet/device-repository.js';
import { settingsSchema } from '#shared/protocol/desired.js';
import type { CollectedOwner } from './collected-pull.js';
import { type ServiceDeployment, type ServiceSettings, serviceSettingsSchema } from './endpoint-model.js';

export interface NewRevision extends Pick<ServiceDeployment, 'id' | 'endpoint' | 'name' | 'settings' | 'service'> {
  readonly workspace: string;
  readonly imageDigest: string;
  readonly generation: number;
  readonly createdAt: string;
}

export class ServiceDeploymentRepository {
  constructor(private readonly db: Database) {}

  within(transaction: Database): ServiceDeploymentRepository {
    return new ServiceDeploymentRepository(transaction);
  }

  /** Those that there are now, by name. @param endpoint all of them without it */
  async current(endpoint?: string): Promise<ServiceDeployment[]> {
    let query = this.db
      .selectFrom('deployments as d')
      .innerJoin('images as i', (join) =>
        join.onRef('i.workspace', '=', 'd.workspace').onRef('i.digest', '=', 'd.imageDigest'),
      )
      .select(['d.id', 'd.endpoint', 'd.name', 'd.revision', 'd.settingsJson', 'd.serviceJson', 'd.generation'])
      .select(['d.createdAt', 'i.name as image', 'i.version', 'i.digest', 'i.manifestSize'])
      .select(['i.signatureDigest', 'i.signatureSize'])
      .where('d.kind', '=', 'web-service')
      .where('d.removedGeneration', 'is', null)
      .orderBy('d.endpoint')
      .orderBy('d.name')
      .$narrowType<{ endpoint: string; name: string }>();
    if (endpoint !== undefined) query = query.where('d.endpoint', '=', endpoint);
    return (await query.execute()).map(({ settingsJson, serviceJson, image, version, digest, ...row }) => {
      const { manifestSize, signatureDigest, signatureSize, ...rest } = row;
      return {
        ...rest,
        image: {
          ...{ name: image, version, digest, size: manifestSize },
          signature: { digest: signatureDigest, size: signatureSize },
        },
        settings: settingsSchema.parse(JSON.parse(settingsJson)),
        service: serviceSettingsSchema.parse(JSON.parse(serviceJson)),
      };
    });
  }

  async find(endpoint: string, name: string): Promise<ServiceDeployment | undefined> {
    return (await this.current(endpoint)).find((one) => one.name === name);
  }

  /** Whose what it collects is, its last revision's word where it is deleted; undefined: there never was one. */
  async collectedBy(endpoint: string, name: string): Promise<CollectedOwner | undefined> {
    const row = await this.db
      .selectFrom('deployments as d')
      .innerJoin('endpoints as e', 'e.id', 'd.endpoint')
      .select(['e.workspace', 'e.name as endpointName', 'd.serviceJson'])
      .where('d.endpoint', '=', endpoint)
      .where('d.name', '=', name)
      .orderBy('d.revision', 'desc')
      .executeTakeFirst();
    if (row === undefined) return undefined;
    const { collect } = serviceSettingsSchema.parse(JSON.parse(row.serviceJson));
    return { workspace: row.workspace, endpoint: row.endpointName, rule: collect };
  }

  /** The next revision of its name, deleted ones of that name included. @returns it */
  async insert(revision: NewRevision): Promise<number> {
    const { endpoint, name, settings, service, ...row } = revision;
    const { last } = await this.db
      .selectFrom('deployments')
      .select((query) => query.fn.max<number | null>('revision').as('last'))
      .where('endpoint', '=', endpoint)
      .where('name', '=', name)
      .executeTakeFirstOrThrow();
    const next = (last ?? 0) + 1;
    await this.db
      .insertInto('deployments')
      .values({
        ...{ ...row, endpoint, name, kind: 'web-service', device: null, module: null, revision: next },
        ...{ settingsJson: JSON.stringify(settings), serviceJson: JSON.stringify(service) },
        ...{ policyJson: '{}', updateJson: '{}', removedGeneration: null },
      })
      .execute();
    return next;
  }

  /** What changes without another replica. */
  async change(id: string, service: ServiceSettings, generation: number): Promise<void> {
    const serviceJson = JSON.stringify(service);
    await this.db.updateTable('deployments').set({ serviceJson, generation }).where('id', '=', id).execute();
  }

  /** @param generation the first without it */
  async end(id: string, generation: number): Promise<void> {
    await this.db.updateTable('deployments').set({ removedGeneration: generation }).where('id', '=', id).execute();
  }

  /** All that an endpoint has. */
  async endAll(endpoint: string, generation: number): Promise<void> {
    await this.db
      .updateTable('deployments')
      .set({ removedGeneration: generation })
      .where('endpoint', '=', endpoint)
      .where('removedGeneration', 'is', null)
      .execute();
  }
}
