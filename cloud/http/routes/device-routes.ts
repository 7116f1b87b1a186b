import * as z from 'zod';
import { nameSchema, tagsSchema } from '#shared/protocol/primitives.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import { deviceBodyOf } from '#cloud/fleet/device-body.js';
import type { DeploymentRepository } from '#cloud/fleet/deployment-repository.js';
import type { DeviceRepository } from '#cloud/fleet/device-repository.js';
import type { Retirement } from '#cloud/fleet/retirement.js';
import { deviceNotFound, deviceRetired } from '#cloud/fleet/twin.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import { applyTagPatch } from '#cloud/store/tag-patch.js';
import type { Routes } from '../app.js';
import { pageOf, pageQuery, workspaceParams } from '../schemas/common.js';
import { type DeviceBody, deviceBody, devicePatch } from '../schemas/devices.js';

export interface DeviceRouteDeps {
  readonly devices: DeviceRepository;
  readonly deployments: DeploymentRepository;
  readonly retirement: Retirement;
  readonly live: LiveEvents;
}

export const deviceParams = z.object({ workspace: nameSchema, device: nameSchema });
const path = '/v1/workspaces/:workspace/devices';
const tags = ['devices'];

export function deviceRoutes({ devices, deployments, retirement, live }: DeviceRouteDeps): Routes {
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
          summary: 'Devices, by name; retired ones too',
          params: workspaceParams,
          querystring: pageQuery,
          response: { 200: pageOf(deviceBody) },
        },
      },
      async (request) => {
        const { workspace } = request.params;
        const { limit, cursor } = request.query;
        const rows = await devices.list(workspace, limit + 1, cursor);
        const shown = rows.slice(0, limit);
        const modules = await deployments.listCurrent(
          workspace,
          shown.map(({ name }) => name),
        );
        const items = shown.map((device) => deviceBodyOf(device, modules.get(device.name) ?? []));
        const last = shown.at(-1);
        return rows.length > limit && last ? { items, next: last.name } : { items };
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
          summary: 'Change tags; a tag set to null is removed',
          params: deviceParams,
          body: devicePatch,
          response: { 200: deviceBody },
        },
      },
      async (request) => {
        const address = request.params;
        const device = await devices.find(address);
        if (device === undefined) throw deviceNotFound(address);
        if (device.retiredAt !== null) throw deviceRetired(address, device.retiredAt);
        const changed = applyTagPatch(tagsSchema.parse(JSON.parse(device.tagsJson)), request.body.tags);
        await devices.update(address, { tagsJson: JSON.stringify(changed) });
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
