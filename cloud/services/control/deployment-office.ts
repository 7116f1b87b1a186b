/**
 * Takes orders about what runs behind endpoints. What is asked for, the document that says it and the activity that
 * follows it are one transaction: whatever is killed, a change that was taken is made and told of.
 */
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { NewId } from '#shared/kernel/ids.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { ActivityRunner } from '#cloud/activities/activity-runner.js';
import { DeploymentRepository } from '#cloud/fleet/deployment-repository.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { StoredActivity } from '#cloud/store/activity-repository.js';
import { maxDeployments } from '../desired-services.js';
import { deploymentKinds, type Followed } from './deployment-activity.js';
import {
  type DeploymentChange,
  type Endpoint,
  mostReplicas,
  type ServiceDeployment,
  type ServiceSettings,
} from './endpoint-model.js';
import { EndpointRepository } from './endpoint-repository.js';
import { requireEnabled } from './require-enabled.js';
import type { ServableImages } from './servable-image.js';
import { ServiceDeploymentRepository } from './service-deployment-repository.js';
import type { ServicesDocument } from './services-document.js';
import { requireDeployment, requireIdle } from './traffic.js';

export interface DeploymentOfficeOptions {
  readonly db: Database;
  readonly document: ServicesDocument;
  readonly images: ServableImages;
  readonly runner: ActivityRunner;
  readonly clock: Clock;
  readonly newId: NewId;
  /** Of all deployments of all endpoints. */
  readonly maxReplicas: number;
  /** Whether this control plane runs web services at all. */
  readonly enabled: boolean;
}

export interface DeploymentWish extends Pick<ServiceDeployment, 'name' | 'settings' | 'service'> {
  /** `name:version` or a digest. */
  readonly image: string;
}

type Written = Pick<Followed, 'revision' | 'goal'> & { readonly kind: string };

export class DeploymentOffice {
  constructor(private readonly options: DeploymentOfficeOptions) {}

  /** @throws AppError `service.disabled`, `endpoint.*`, `deployment.exists`, and what {@link ServableImages.require} throws */
  async create(workspace: string, endpointName: string, wish: DeploymentWish): Promise<StoredActivity> {
    const { db, images, enabled } = this.options;
    requireEnabled(enabled);
    await new EndpointRepository(db).require(workspace, endpointName);
    const imageDigest = await images.require(workspace, wish.image);
    return this.write(workspace, endpointName, wish.name, async (transaction, endpoint, generation) => {
      const current = await new ServiceDeploymentRepository(transaction).current(endpoint.id);
      if (current.some(({ name }) => name === wish.name)) {
        throw new AppError(
          'deployment.exists',
          `${endpointName} has a deployment ${wish.name} already: flotilla deployment update changes it`,
        );
      }
      if (current.length >= maxDeployments) {
        throw new AppError(
          'endpoint.full',
          `${endpointName} has ${String(maxDeployments)} deployments already: delete one first`,
        );
      }
      const { name, settings, service } = wish;
      const revision = await this.insert(transaction, endpoint, { name, settings, service, imageDigest }, generation);
      return { kind: deploymentKinds.create, revision, goal: 'healthy' };
    });
  }

  /** Another image or other settings make another revision; what else changes applies to the replicas there are. */
  async change(
    workspace: string,
    endpointName: string,
    name: string,
    { image, settings, service }: DeploymentChange,
  ): Promise<StoredActivity> {
    requireEnabled(this.options.enabled);
    const wanted = image === undefined ? undefined : await this.options.images.require(workspace, image);
    return this.write(workspace, endpointName, name, async (transaction, endpoint, generation) => {
      const rows = new ServiceDeploymentRepository(transaction);
      const present = await requirePresent(rows, endpoint, name);
      const next = {
        name,
        imageDigest: wanted ?? present.image.digest,
        settings: settings ?? present.settings,
        service: { ...present.service, ...service },
      };
      const same =
        next.imageDigest === present.image.digest && canonicalJson(next.settings) === canonicalJson(present.settings);
      const scales = image === undefined && settings === undefined && Object.keys(service ?? {}).join() === 'scale';
      const kind = scales ? deploymentKinds.scale : deploymentKinds.update;
      if (same) {
        await rows.change(present.id, next.service, generation);
        await this.requireRoom(transaction);
        return { kind, revision: present.revision, goal: 'healthy' };
      }
      await rows.end(present.id, generation);
      const revision = await this.insert(transaction, endpoint, next, generation);
      return { kind, revision, goal: 'healthy' };
    });
  }

  /** @throws AppError `deployment.not-found`, `deployment.in-use` while requests reach it */
  async delete(workspace: string, endpointName: string, name: string): Promise<StoredActivity> {
    return this.write(workspace, endpointName, name, async (transaction, endpoint, generation) => {
      const rows = new ServiceDeploymentRepository(transaction);
      const present = await requirePresent(rows, endpoint, name);
      requireIdle(endpointName, name, endpoint.traffic, endpoint.mirror);
      await rows.end(present.id, generation);
      return { kind: deploymentKinds.delete, revision: present.revision, goal: 'gone' };
    });
  }

  private async write(
    workspace: string,
    endpointName: string,
    deployment: string,
    work: (transaction: Database, endpoint: Endpoint, generation: number) => Promise<Written>,
  ): Promise<StoredActivity> {
    const { document, runner, clock } = this.options;
    const activity = await document.change(async (transaction, generation) => {
      const endpoints = new EndpointRepository(transaction);
      const endpoint = await endpoints.require(workspace, endpointName);
      const { kind, revision, goal } = await work(transaction, endpoint, generation);
      await endpoints.change(endpoint.id, { generation, updatedAt: toInstant(clock.now()) });
      const followed: Followed = { endpoint: endpoint.id, endpointName, deployment, revision, generation, goal };
      return runner.insertWithin(transaction, workspace, kind, `${endpointName}/${deployment}`, followed);
    });
    runner.announce(activity);
    return activity;
  }

  /** @returns its revision */
  private async insert(
    transaction: Database,
    { id: endpoint, workspace }: Endpoint,
    wish: Pick<ServiceDeployment, 'name' | 'settings'> & { service: ServiceSettings; imageDigest: string },
    generation: number,
  ): Promise<number> {
    const { clock, newId } = this.options;
    // It was checked before, and may have been deleted meanwhile.
    await new DeploymentRepository(transaction).requireImage(workspace, wish.imageDigest);
    const row = { ...wish, id: newId(), workspace, endpoint, generation, createdAt: toInstant(clock.now()) };
    const revision = await new ServiceDeploymentRepository(transaction).insert(row);
    await this.requireRoom(transaction);
    return revision;
  }

  private async requireRoom(transaction: Database): Promise<void> {
    const { maxReplicas } = this.options;
    const all = await new ServiceDeploymentRepository(transaction).current();
    const most = all.reduce((sum, { service }) => sum + mostReplicas(service), 0);
    if (most <= maxReplicas) return;
    throw new AppError(
      'endpoint.full',
      `all deployments together could have ${String(most)} replicas, and services.maxReplicas is ${String(maxReplicas)}: take fewer, or raise it`,
    );
  }
}

async function requirePresent(
  rows: ServiceDeploymentRepository,
  endpoint: Endpoint,
  name: string,
): Promise<ServiceDeployment> {
  const current = await rows.current(endpoint.id);
  const names = current.map((one) => one.name);
  requireDeployment(endpoint.name, name, names);
  const present = current.find((one) => one.name === name);
  if (present === undefined) throw new Error(`deployment ${name} was found and is not there`);
  return present;
}
