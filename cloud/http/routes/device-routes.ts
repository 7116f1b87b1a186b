import * as z from 'zod';
import { nameSchema } from '#shared/protocol/primitives.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import { deviceBodyOf } from '#cloud/fleet/device-body.js';
import { DevicePages } from '#cloud/fleet/device-pages.js';
import type { DeviceSearch } from '#cloud/fleet/device-search.js';
import { formatQuery } from '#cloud/fleet/query/format-query.js';
import { parseQuery } from '#cloud/fleet/query/parse-query.js';
import type { DeploymentRepository } from '#cloud/fleet/deployment-repository.js';
import type { DeviceRepository } from '#cloud/fleet/device-repository.js';
import type { Retirement } from '#cloud/fleet/retirement.js';
import type { Tagging } from '#cloud/fleet/tagging.js';
import { deviceNotFound } from '#cloud/fleet/device-errors.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import type { Routes } from '../app.js';
import { pageOf, pageQuery, queryText, workspaceParams } from '../schemas/common.js';
import { type DeviceBody, deviceBody, devicePatch } from '../schemas/devices.js';
import { deviceCount } from '../schemas/fleets.js';

export interface DeviceRouteDeps {
  readonly devices: DeviceRepository;
  readonly deployments: DeploymentRepository;
  readonly search: DeviceSearch;
  readonly retirement: Retirement;
  readonly tagging: Tagging;
  readonly live: LiveEvents;
}

export const deviceParams = z.object({ workspace: nameSchema, device: nameSchema });
const path = '/v1/workspaces/:workspace/devices';
const tags = ['devices'];

export function deviceRoutes({ devices, deployments, search, retirement, tagging, live }: DeviceRouteDeps): Routes {
  const pages = new DevicePages(devices, deployments, search);
  const show = async (address: DeviceAddress): Promise<DeviceBody> => {
    const device = await devices.find(address);
    if (device === undefined) throw deviceNotFound(address);
    const modules = await deployments.listCurrent(address.workspace, [address.device]);
    return deviceBodyOf(device, modules.get(address.device) ?? []);
  };
  return (app) => {
    app.get(
      path,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Devices, by name; retired ones too, unless where asks: it finds those in service that match',
          params: workspaceParams,
          querystring: pageQuery.extend({ where: queryText.optional() }),
          response: { 200: pageOf(deviceBody) },
        },
      },
      async (request) => {
        const { where, ...page } = request.query;
        return pages.page(request.params.workspace, page, where === undefined ? undefined : parseQuery(where));
      },
    );

    app.get(
      '/v1/workspaces/:workspace/device-count',
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'How many devices in service match, and how the query was understood',
          params: workspaceParams,
          querystring: z.object({ where: queryText }),
          response: { 200: deviceCount },
        },
      },
      async (request) => {
        const { workspace } = request.params;
        const query = parseQuery(request.query.where);
        const counted = await search.count(workspace, query);
        return { ...counted, query: formatQuery(query), notes: await search.notesOn(workspace, query) };
      },
    );

    app.get(
      `${path}/:device`,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'One device: what it should run and what it says',
          params: deviceParams,
          response: { 200: deviceBody },
        },
      },
      async (request) => show(request.params),
    );

    app.patch(
      `${path}/:device`,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Change tags, and with them the layers that are live; a tag set to null is removed',
          params: deviceParams,
          body: devicePatch,
          response: { 200: deviceBody },
        },
      },
      async (request) => {
        const address = request.params;
        await tagging.change(address, request.body.tags);
        live.deviceChanged(address);
        return show(address);
      },
    );

    app.post(
      `${path}/:device/retire`,
      {
        config: { role: 'owner' },
        schema: {
          tags,
          summary: 'Take a device out of service: its connection ends, and only a replacement brings its name back',
          params: deviceParams,
          response: { 200: deviceBody },
        },
      },
      async (request) => {
        await retirement.retire(request.params);
        return show(request.params);
      },
    );
  };
}
