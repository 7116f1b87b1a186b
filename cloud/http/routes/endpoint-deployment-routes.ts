/** What runs behind endpoints, and how it fares. Changes are activities: they end when the replicas are there. */
import type { FastifyReply } from 'fastify';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import type { ReleaseRepository } from '#cloud/fleet/release-repository.js';
import { toActivityBody } from '#cloud/activities/activity-body.js';
import type { DeploymentOffice } from '#cloud/services/control/deployment-office.js';
import { toDeploymentBody, toStatusBody } from '#cloud/services/control/endpoint-bodies.js';
import { type ServiceDeployment, serviceSettingsSchema } from '#cloud/services/control/endpoint-model.js';
import type { EndpointRepository } from '#cloud/services/control/endpoint-repository.js';
import type { ServiceDeploymentRepository } from '#cloud/services/control/service-deployment-repository.js';
import type { ServiceHostDoor } from '#cloud/services/control/services-publisher.js';
import { chosenModule } from '#cloud/services/control/released-module.js';
import { requireDeployment } from '#cloud/services/control/traffic.js';
import type { StoredActivity } from '#cloud/store/activity-repository.js';
import { afterName } from '#cloud/store/page.js';
import type { Routes } from '../app.js';
import { activityBody, type ActivityBody } from '../schemas/activities.js';
import { pageOf, pageQuery } from '../schemas/common.js';
import {
  deploymentBody,
  deploymentCreate,
  deploymentPatch,
  endpointStatusBody,
  logsBody,
  logsQuery,
  type WhatRuns,
} from '../schemas/endpoints.js';
import { endpointParams, endpointsPath } from './endpoint-routes.js';

export interface EndpointDeploymentRouteDeps {
  readonly endpoints: EndpointRepository;
  readonly deployments: ServiceDeploymentRepository;
  readonly office: DeploymentOffice;
  readonly releases: Pick<ReleaseRepository, 'require'>;
  readonly door: ServiceHostDoor;
  /** By which callers reach endpoints, where that is not where the service host listens. */
  readonly advertiseUrl: string | undefined;
}

const path = `${endpointsPath}/:endpoint` as const;
const all = `${path}/deployments` as const;
const one = `${all}/:deployment` as const;
const params = endpointParams.extend({ deployment: nameSchema });
const tags = ['endpoints'];
type Settings = ServiceDeployment['settings'];
const oneReplica = { kind: 'fixed', replicas: 1 } as const;

export function endpointDeploymentRoutes(deps: EndpointDeploymentRouteDeps): Routes {
  const { endpoints, deployments, office, releases, door, advertiseUrl } = deps;
  const whatRuns = async (
    workspace: string,
    { image, release, module }: WhatRuns,
    settings: Settings,
  ): Promise<{ image: string; settings: Settings }> => {
    if (release === undefined) return { image: image ?? '', settings };
    const { modules } = await releases.require(workspace, release);
    const chosen = chosenModule(modules, { release, module });
    return { image: chosen.image.digest, settings: { ...chosen.settings, ...settings } };
  };
  return (app) => {
    app.get(
      `${path}/status`,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Where it is reached, and how its deployments fare',
          params: endpointParams,
          response: { 200: endpointStatusBody },
        },
      },
      async (request) => {
        const { workspace, endpoint: name } = request.params;
        const endpoint = await endpoints.require(workspace, name);
        try {
          const status = await (await door.running())?.status();
          return toStatusBody(endpoint, endpoint.generation, status, advertiseUrl);
        } catch (error) {
          const code = error instanceof AppError ? error.code : 'service.unavailable';
          const problem = { code, message: messageOf(error).slice(0, 4096) };
          return { ...toStatusBody(endpoint, endpoint.generation, undefined), problem };
        }
      },
    );

    app.get(
      all,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'What runs behind an endpoint, by name',
          params: endpointParams,
          querystring: pageQuery,
          response: { 200: pageOf(deploymentBody) },
        },
      },
      async (request) => {
        const { limit, cursor = '' } = request.query;
        const { workspace, endpoint: name } = request.params;
        const endpoint = await endpoints.require(workspace, name);
        const found = (await deployments.current(endpoint.id)).filter((deployment) => deployment.name > cursor);
        return afterName(
          found.map((deployment) => toDeploymentBody(endpoint, deployment)),
          limit,
        );
      },
    );

    app.post(
      all,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Run an image behind an endpoint; it gets no traffic yet',
          params: endpointParams,
          body: deploymentCreate,
          response: { 202: activityBody },
        },
      },
      async (request, reply) => {
        const { workspace, endpoint } = request.params;
        const { name, image, release, module, settings, scale = oneReplica, ...rest } = request.body;
        request.audited = {
          name,
          ...(image === undefined ? {} : { image }),
          ...(release === undefined ? {} : { release }),
        };
        const service = serviceSettingsSchema.parse({ scale, ...rest });
        const runs = await whatRuns(workspace, { image, release, module }, settings);
        return follow(reply, await office.create(workspace, endpoint, { name, ...runs, service }));
      },
    );

    app.get(
      one,
      {
        config: { role: 'reader' },
        schema: { tags, summary: 'One deployment', params, response: { 200: deploymentBody } },
      },
      async (request) => {
        const { workspace, endpoint: name, deployment } = request.params;
        const endpoint = await endpoints.require(workspace, name);
        const found = await deployments.current(endpoint.id);
        requireDeployment(
          name,
          deployment,
          found.map((other) => other.name),
        );
        return found.filter((other) => other.name === deployment).map((it) => toDeploymentBody(endpoint, it))[0];
      },
    );

    app.patch(
      one,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Change a deployment: another image or settings replace its replicas, one after the other',
          params,
          body: deploymentPatch,
          response: { 202: activityBody },
        },
      },
      async (request, reply) => {
        const { workspace, endpoint, deployment } = request.params;
        const { image, release, module, settings, ...service } = request.body;
        const { collect } = service;
        request.audited = {
          ...((image ?? release) === undefined ? {} : { image: image ?? '', release: release ?? '' }),
          ...(collect === undefined ? {} : { collect: JSON.stringify(collect).slice(0, 1024) }),
        };
        const runs =
          release === undefined ? { image, settings } : await whatRuns(workspace, { release, module }, settings ?? {});
        const change = { ...runs, service: withoutUndefined(service) };
        return follow(reply, await office.change(workspace, endpoint, deployment, change));
      },
    );

    app.delete(
      one,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'End a deployment that gets no requests; what it is answering is answered',
          params,
          response: { 202: activityBody },
        },
      },
      async (request, reply) => {
        const { workspace, endpoint, deployment } = request.params;
        return follow(reply, await office.delete(workspace, endpoint, deployment));
      },
    );

    app.get(
      `${one}/logs`,
      {
        // What scripts print may be what they were asked.
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'The last lines of its replicas, the oldest first',
          params,
          querystring: logsQuery,
          response: { 200: logsBody },
        },
      },
      async (request) => {
        const { workspace, endpoint: name, deployment } = request.params;
        const endpoint = await endpoints.require(workspace, name);
        const names = (await deployments.current(endpoint.id)).map((other) => other.name);
        requireDeployment(name, deployment, names);
        const host = await door.running();
        return { lines: host === undefined ? [] : await host.logs(endpoint.id, deployment, request.query.lines) };
      },
    );
  };
}

function follow(reply: FastifyReply, activity: StoredActivity): ActivityBody {
  reply.code(202).header('location', `/v1/workspaces/${activity.workspace}/activities/${activity.id}`);
  return toActivityBody(activity);
}

function withoutUndefined<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const given = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(given) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
