import * as z from 'zod';
import { nameSchema } from '#shared/protocol/primitives.js';
import { toEndpointBody } from '#cloud/services/control/endpoint-bodies.js';
import type { EndpointOffice } from '#cloud/services/control/endpoint-office.js';
import type { EndpointRepository } from '#cloud/services/control/endpoint-repository.js';
import { afterName } from '#cloud/store/page.js';
import type { Routes } from '../app.js';
import { pageOf, pageQuery, workspaceParams } from '../schemas/common.js';
import {
  endpointBody,
  endpointCreate,
  endpointDeleteQuery,
  endpointPatch,
  trafficChange,
} from '../schemas/endpoints.js';

export interface EndpointRouteDeps {
  readonly endpoints: EndpointRepository;
  readonly office: EndpointOffice;
}

export const endpointParams = z.object({ workspace: nameSchema, endpoint: nameSchema });
export const endpointsPath = '/v1/workspaces/:workspace/endpoints';
const path = `${endpointsPath}/:endpoint` as const;
const tags = ['endpoints'];

export function endpointRoutes({ endpoints, office }: EndpointRouteDeps): Routes {
  return (app) => {
    app.get(
      endpointsPath,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Endpoints of web services, by name',
          params: workspaceParams,
          querystring: pageQuery,
          response: { 200: pageOf(endpointBody) },
        },
      },
      async (request) => {
        const { limit, cursor } = request.query;
        const found = await endpoints.list(request.params.workspace, limit + 1, cursor);
        return afterName(found.map(toEndpointBody), limit);
      },
    );

    app.post(
      endpointsPath,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Make an endpoint. It answers nothing until a deployment has traffic',
          params: workspaceParams,
          body: endpointCreate,
          response: { 201: endpointBody },
        },
      },
      async (request, reply) => {
        const { name, auth } = request.body;
        request.audited = { name, auth };
        const made = await office.create(request.params.workspace, request.body, request.principal?.id ?? '');
        return reply.code(201).send(toEndpointBody(made));
      },
    );

    app.get(
      path,
      {
        config: { role: 'reader' },
        schema: { tags, summary: 'One endpoint', params: endpointParams, response: { 200: endpointBody } },
      },
      async (request) => {
        const { workspace, endpoint } = request.params;
        return toEndpointBody(await endpoints.require(workspace, endpoint));
      },
    );

    app.patch(
      path,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Change how it knows its callers, its description or its tags',
          params: endpointParams,
          body: endpointPatch,
          response: { 200: endpointBody },
        },
      },
      async (request) => {
        const { workspace, endpoint } = request.params;
        const { auth } = request.body;
        if (auth !== undefined) request.audited = { auth };
        return toEndpointBody(await office.change(workspace, endpoint, request.body));
      },
    );

    app.put(
      `${path}/traffic`,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Say which deployment answers how much, and which gets copies',
          params: endpointParams,
          body: trafficChange,
          response: { 200: endpointBody },
        },
      },
      async (request) => {
        const { workspace, endpoint } = request.params;
        request.audited = { traffic: JSON.stringify(request.body) };
        return toEndpointBody(await office.setTraffic(workspace, endpoint, request.body));
      },
    );

    app.delete(
      path,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Delete an endpoint; with force its deployments too, whatever they answer',
          params: endpointParams,
          querystring: endpointDeleteQuery,
          response: { 200: endpointBody },
        },
      },
      async (request) => {
        const { workspace, endpoint } = request.params;
        const { force } = request.query;
        request.audited = { force };
        return toEndpointBody(await office.delete(workspace, endpoint, force));
      },
    );
  };
}
