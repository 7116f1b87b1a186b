/** Takes orders about endpoints: what is asked for is checked and written, with the document that says it. */
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { NewId } from '#shared/kernel/ids.js';
import type { Tags } from '#shared/protocol/primitives.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { AuthMode, Endpoint, KeySlot, Mirror, Traffic } from './endpoint-model.js';
import { type EndpointChange, EndpointRepository } from './endpoint-repository.js';
import { ServiceDeploymentRepository } from './service-deployment-repository.js';
import type { ServicesDocument } from './services-document.js';
import { requireEnabled } from './require-enabled.js';
import { checkTraffic } from './traffic.js';

export interface EndpointOfficeOptions {
  readonly db: Database;
  readonly document: ServicesDocument;
  readonly clock: Clock;
  readonly newId: NewId;
  /** Whether this control plane runs web services at all. */
  readonly enabled: boolean;
}

export interface EndpointWish {
  readonly name: string;
  readonly auth: AuthMode;
  readonly description: string;
  readonly tags: Tags;
}

/** As many as the document may name. */
const maxEndpoints = 1_000;

export class EndpointOffice {
  constructor(private readonly options: EndpointOfficeOptions) {}

  /** @throws AppError `endpoint.exists`, `endpoint.full`, `service.disabled` */
  async create(workspace: string, wish: EndpointWish, by: string): Promise<Endpoint> {
    const { document, clock, newId, enabled } = this.options;
    requireEnabled(enabled);
    return document.change(async (transaction, generation) => {
      const endpoints = new EndpointRepository(transaction);
      const { name } = wish;
      if (await endpoints.find(workspace, name)) {
        throw new AppError('endpoint.exists', `workspace ${workspace} has an endpoint ${name} already`);
      }
      if ((await endpoints.count()) >= maxEndpoints) {
        throw new AppError('endpoint.full', `there are ${String(maxEndpoints)} endpoints already: delete one first`);
      }
      const at = toInstant(clock.now());
      const endpoint: Endpoint = {
        ...{
          id: newId(),
          workspace,
          ...wish,
          keyVersions: { primary: 1, secondary: 1 },
          traffic: {},
          mirror: undefined,
        },
        ...{ generation, createdAt: at, createdBy: by, updatedAt: at },
      };
      await endpoints.insert(endpoint);
      return endpoint;
    });
  }

  async change(
    workspace: string,
    name: string,
    change: Pick<EndpointChange, 'auth' | 'description' | 'tags'>,
  ): Promise<Endpoint> {
    return this.write(workspace, name, async () => change);
  }

  /**
   * @param traffic the weights of all; those of before without it
   * @param mirror null: none; the one of before without it
   */
  async setTraffic(
    workspace: string,
    name: string,
    { traffic, mirror }: { readonly traffic?: Traffic | undefined; readonly mirror?: Mirror | null | undefined },
  ): Promise<Endpoint> {
    return this.write(workspace, name, async (transaction, endpoint) => {
      const deployments = await new ServiceDeploymentRepository(transaction).current(endpoint.id);
      const wanted = mirror === undefined ? endpoint.mirror : (mirror ?? undefined);
      const names = deployments.map((one) => one.name);
      const checked = checkTraffic(name, names, traffic ?? endpoint.traffic, wanted);
      return { traffic: checked, mirror: wanted ?? null };
    });
  }

  /** The key of that slot so far no longer counts. */
  async regenerateKey(workspace: string, name: string, slot: KeySlot): Promise<Endpoint> {
    return this.write(workspace, name, async (_transaction, endpoint) => {
      requireMode(endpoint, 'key');
      return { keyVersions: { ...endpoint.keyVersions, [slot]: endpoint.keyVersions[slot] + 1 } };
    });
  }

  /** @throws AppError `endpoint.in-use` where it has deployments, unless it is forced */
  async delete(workspace: string, name: string, force: boolean): Promise<Endpoint> {
    const { document, clock } = this.options;
    return document.change(async (transaction, generation) => {
      const endpoints = new EndpointRepository(transaction);
      const endpoint = await endpoints.require(workspace, name);
      const deployments = new ServiceDeploymentRepository(transaction);
      const names = (await deployments.current(endpoint.id)).map((one) => one.name);
      if (names.length > 0 && !force) {
        throw new AppError(
          'endpoint.in-use',
          `${name} has the deployments ${names.join(', ')}: delete them first, or all at once with --force`,
          { details: { deployments: names } },
        );
      }
      await deployments.endAll(endpoint.id, generation);
      await endpoints.delete(endpoint.id, toInstant(clock.now()));
      return { ...endpoint, generation };
    });
  }

  private async write(
    workspace: string,
    name: string,
    decide: (transaction: Database, endpoint: Endpoint) => Promise<EndpointChange>,
  ): Promise<Endpoint> {
    const { document, clock } = this.options;
    return document.change(async (transaction, generation) => {
      const endpoints = new EndpointRepository(transaction);
      const endpoint = await endpoints.require(workspace, name);
      const change = await decide(transaction, endpoint);
      await endpoints.change(endpoint.id, { ...change, generation, updatedAt: toInstant(clock.now()) });
      return endpoints.require(workspace, name);
    });
  }
}

/** @throws AppError `endpoint.auth-mode` */
export function requireMode({ name, auth }: Endpoint, mode: AuthMode): void {
  if (auth === mode) return;
  const takes = { key: 'takes keys', token: 'takes tokens', none: 'asks for neither key nor token' }[auth];
  throw new AppError(
    'endpoint.auth-mode',
    `${name} ${takes}: flotilla endpoint update ${name} --auth ${mode} changes that`,
  );
}
