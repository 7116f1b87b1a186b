/** What a device collects of a module: said by who operates the fleet, and by nobody else. */
import { nameSchema } from '#shared/protocol/primitives.js';
import { collectRuleSchema } from '#shared/protocol/collect.js';
import type { CollectionTwin } from '#cloud/fleet/collection-twin.js';
import type { Routes } from '../app.js';
import { generationBody } from '../schemas/devices.js';
import { deviceParams } from './device-routes.js';

export interface DeviceCollectRouteDeps {
  readonly collections: CollectionTwin;
}

const path = '/v1/workspaces/:workspace/devices/:device/modules/:module/collect';
const params = deviceParams.extend({ module: nameSchema });
const tags = ['data'];

export function deviceCollectRoutes({ collections }: DeviceCollectRouteDeps): Routes {
  return (app) => {
    app.put(
      path,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Let a device send a sample of what a module is asked and answers, whatever version it runs',
          params,
          body: collectRuleSchema,
          response: { 202: generationBody },
        },
      },
      async (request, reply) => {
        const { module, ...address } = request.params;
        const { rate, redact } = request.body;
        request.audited = { module, rate, redact: redact.join(' ').slice(0, 1024) };
        const generation = await collections.put(address, module, request.body);
        return reply.code(202).send({ device: address.device, generation });
      },
    );

    app.delete(
      path,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'End it; what waits on the device is removed there',
          params,
          response: { 202: generationBody },
        },
      },
      async (request, reply) => {
        const { module, ...address } = request.params;
        request.audited = { module };
        const generation = await collections.end(address, module);
        return reply.code(202).send({ device: address.device, generation });
      },
    );
  };
}
