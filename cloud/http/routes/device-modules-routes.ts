import { nameSchema } from '#shared/protocol/primitives.js';
import type { ShadowTwin } from '#cloud/fleet/shadow-twin.js';
import type { Twin } from '#cloud/fleet/twin.js';
import type { Routes } from '../app.js';
import { generationBody, moduleDeploy, modulesDeploy, shadowDeploy } from '../schemas/devices.js';
import { deviceParams } from './device-routes.js';

export interface DeviceModulesRouteDeps {
  readonly twin: Twin;
  readonly shadows: ShadowTwin;
}

const all = '/v1/workspaces/:workspace/devices/:device/modules';
const path = `${all}/:module` as const;
const shadowPath = `${path}/shadow` as const;
const params = deviceParams.extend({ module: nameSchema });
const tags = ['deployments'];

export function deviceModulesRoutes({ twin, shadows }: DeviceModulesRouteDeps): Routes {
  return (app) => {
    app.put(
      path,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Deploy an image as a module of the device; reported.generation says when the device knows',
          params,
          body: moduleDeploy,
          response: { 202: generationBody },
        },
      },
      async (request, reply) => {
        const { module, ...address } = request.params;
        const generation = await twin.deploy(address, module, request.body);
        return reply.code(202).send({ device: address.device, generation });
      },
    );

    app.post(
      all,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Deploy several modules to the device at once; with atomic, they take over together or not at all',
          params: deviceParams,
          body: modulesDeploy,
          response: { 202: generationBody },
        },
      },
      async (request, reply) => {
        const generation = await twin.deployAll(request.params, request.body.modules, request.body.atomic);
        return reply.code(202).send({ device: request.params.device, generation });
      },
    );

    app.delete(
      path,
      {
        config: { role: 'contributor' },
        schema: { tags, summary: 'Remove a module from the device', params, response: { 202: generationBody } },
      },
      async (request, reply) => {
        const { module, ...address } = request.params;
        const generation = await twin.undeploy(address, module);
        return reply.code(202).send({ device: address.device, generation });
      },
    );

    app.put(
      shadowPath,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Let an image get copies of what a module is asked, beside it; nothing of what answers changes',
          params,
          body: shadowDeploy,
          response: { 202: generationBody },
        },
      },
      async (request, reply) => {
        const { module, ...address } = request.params;
        const { image, settings, ...rule } = request.body;
        const generation = await shadows.put(address, module, { image, settings, rule });
        return reply.code(202).send({ device: address.device, generation });
      },
    );

    app.delete(
      shadowPath,
      {
        config: { role: 'contributor' },
        schema: { tags, summary: 'End the shadow of a module', params, response: { 202: generationBody } },
      },
      async (request, reply) => {
        const { module, ...address } = request.params;
        const generation = await shadows.end(address, module);
        return reply.code(202).send({ device: address.device, generation });
      },
    );
  };
}
