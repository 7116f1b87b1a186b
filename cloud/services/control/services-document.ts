/**
 * The document for the service host, in the database. Every change of endpoints goes through here: what it writes, the
 * next generation and the document that says it are one transaction, so that a kill leaves all of it or nothing.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import { type DesiredServices, desiredServicesSchema, type EndpointAuth } from '../desired-services.js';
import { composeServices } from './compose-services.js';
import type { Endpoint } from './endpoint-model.js';
import { EndpointRepository } from './endpoint-repository.js';
import { ServiceDeploymentRepository } from './service-deployment-repository.js';

export interface ServicesDocumentOptions {
  readonly db: Database;
  readonly clock: Clock;
  readonly auth: (endpoint: Endpoint) => EndpointAuth;
  /** Told after each commit. */
  readonly onCommitted: () => void;
}

export class ServicesDocument {
  constructor(private readonly options: ServicesDocumentOptions) {}

  /** Undefined before the first endpoint. */
  async current(): Promise<DesiredServices | undefined> {
    const { documentJson } = await readRow(this.options.db);
    return documentJson === '' ? undefined : desiredServicesSchema.parse(JSON.parse(documentJson));
  }

  /** @param work is given the generation that will carry what it writes */
  async change<T>(work: (transaction: Database, generation: number) => Promise<T>): Promise<T> {
    const result = await this.options.db.transaction().execute(async (transaction) => {
      const generation = (await readRow(transaction)).generation + 1;
      const done = await work(transaction, generation);
      await this.write(transaction, generation);
      return done;
    });
    this.options.onCommitted();
    return result;
  }

  /** The rows may say something else without a change of ours: images get signatures, keys other forms. */
  async bringUpToDate(): Promise<void> {
    const { db } = this.options;
    const current = await this.current();
    if (current === undefined) return;
    const now = await this.compose(db, current.generation);
    const same = canonicalJson({ ...now, issuedAt: '' }) === canonicalJson({ ...current, issuedAt: '' });
    if (!same) await this.riseAbove(current.generation);
  }

  /** Where a service host has a newer document than this database, which a backup gave back: what it says here counts. */
  async riseAbove(above: number): Promise<void> {
    await this.options.db.transaction().execute(async (transaction) => {
      const own = (await readRow(transaction)).generation;
      await this.write(transaction, Math.max(own, above) + 1);
    });
    this.options.onCommitted();
  }

  private async write(transaction: Database, generation: number): Promise<void> {
    const document = await this.compose(transaction, generation);
    await transaction
      .updateTable('services')
      .set({ generation, documentJson: JSON.stringify(document) })
      .execute();
  }

  private async compose(db: Database, generation: number): Promise<DesiredServices> {
    const { clock, auth } = this.options;
    return composeServices({
      ...{ generation, nowMs: clock.now(), auth },
      endpoints: await new EndpointRepository(db).all(),
      deployments: await new ServiceDeploymentRepository(db).current(),
    });
  }
}

async function readRow(db: Database): Promise<{ generation: number; documentJson: string }> {
  return db.selectFrom('services').select(['generation', 'documentJson']).executeTakeFirstOrThrow();
}
