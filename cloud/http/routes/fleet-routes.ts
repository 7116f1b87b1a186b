import * as z from 'zod';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import type { DeploymentRepository } from '#cloud/fleet/deployment-repository.js';
import { factsOfRow } from '#cloud/fleet/device-facts.js';
import { DevicePages } from '#cloud/fleet/device-pages.js';
import type { DeviceRepository } from '#cloud/fleet/device-repository.js';
import type { DeviceSearch } from '#cloud/fleet/device-search.js';
import type { Fleet, FleetRepository } from '#cloud/fleet/fleet-repository.js';
import { matchesQuery } from '#cloud/fleet/query/evaluate-query.js';
import { formatQuery } from '#cloud/fleet/query/format-query.js';
import { deviceNotFound } from '#cloud/fleet/device-errors.js';
import { afterName } from '#cloud/store/page.js';
import type { Routes } from '../app.js';
import { pageOf, pageQuery, workspaceParams } from '../schemas/common.js';
import { deviceBody } from '../schemas/devices.js';
import { type FleetBody, fleetBody, fleetCounted, fleetCreate, fleetPatch } from '../schemas/fleets.js';
import { deviceParams } from './device-routes.js';

export interface FleetRouteDeps {
  readonly fleets: FleetRepository;
  readonly devices: DeviceRepository;
  readonly deployments: DeploymentRepository;
  readonly search: DeviceSearch;
  readonly clock: Clock;
}

const fleetParams = z.object({ workspace: nameSchema, fleet: nameSchema });
const all = '/v1/workspaces/:workspace/fleets';
const path = `${all}/:fleet` as const;
const tags = ['fleets'];
/** So many fleets are asked at a time whether a device is theirs. */
const step = 500;

export function fleetRoutes({ fleets, devices, deployments, search, clock }: FleetRouteDeps): Routes {
  const pages = new DevicePages(devices, deployments, search);
  const counted = async (fleet: Fleet): Promise<z.infer<typeof fleetCounted>> => {
    const { workspace, query } = fleet;
    const { count, online } = await search.count(workspace, query);
    const notes = await search.notesOn(workspace, query);
    return { ...toFleetBody(fleet), members: { count, online, query: formatQuery(query), notes } };
  };
  return (app) => {
    app.get(
      all,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Fleets, by name',
          params: workspaceParams,
          querystring: pageQuery,
          response: { 200: pageOf(fleetBody) },
        },
      },
      async (request) => {
        const { limit, cursor } = request.query;
        const found = await fleets.list(request.params.workspace, limit + 1, cursor);
        return afterName(found.map(toFleetBody), limit);
      },
    );

    app.post(
      all,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Save a query as a fleet; device-count says beforehand what it would find',
          params: workspaceParams,
          body: fleetCreate,
          response: { 201: fleetCounted },
        },
      },
      async (request, reply) => {
        const { name, where, description } = request.body;
        request.audited = { name, where };
        const at = toInstant(clock.now());
        const fleet = await fleets.create(request.params.workspace, name, where, description, at);
        return reply.code(201).send(await counted(fleet));
      },
    );

    app.get(
      path,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'One fleet, and how many members it has now',
          params: fleetParams,
          response: { 200: fleetCounted },
        },
      },
      async (request) => counted(await fleets.require(request.params.workspace, request.params.fleet)),
    );

    app.patch(
      path,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: "Change a fleet's query or description",
          params: fleetParams,
          body: fleetPatch,
          response: { 200: fleetCounted },
        },
      },
      async (request) => {
        const { workspace, fleet } = request.params;
        if (request.body.where !== undefined) request.audited = { where: request.body.where };
        return counted(await fleets.update(workspace, fleet, request.body, toInstant(clock.now())));
      },
    );

    app.delete(
      path,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Delete a fleet; its devices stay as they are',
          params: fleetParams,
          response: { 204: z.null() },
        },
      },
      async (request, reply) => {
        await fleets.delete(request.params.workspace, request.params.fleet);
        return reply.code(204).send(null);
      },
    );

    app.get(
      `${path}/members`,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'The devices that are in a fleet now, by name',
          params: fleetParams,
          querystring: pageQuery,
          response: { 200: pageOf(deviceBody) },
        },
      },
      async (request) => {
        const { workspace, fleet } = request.params;
        return pages.page(workspace, request.query, (await fleets.require(workspace, fleet)).query);
      },
    );

    app.get(
      '/v1/workspaces/:workspace/devices/:device/fleets',
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'The fleets that a device is in now',
          params: deviceParams,
          querystring: pageQuery,
          response: { 200: pageOf(fleetBody) },
        },
      },
      async (request) => {
        const device = await devices.find(request.params);
        if (device === undefined) throw deviceNotFound(request.params);
        const items: FleetBody[] = [];
        if (device.retiredAt !== null) return { items };
        const facts = factsOfRow(device);
        const { limit } = request.query;
        for (let after = request.query.cursor; ; ) {
          const found = await fleets.list(device.workspace, step, after);
          items.push(...found.filter(({ query }) => matchesQuery(query, facts)).map(toFleetBody));
          after = found.at(-1)?.name;
          if (items.length > limit || found.length < step) return afterName(items, limit);
        }
      },
    );
  };
}

function toFleetBody({ query: _query, ...fleet }: Fleet): FleetBody {
  return fleet;
}
