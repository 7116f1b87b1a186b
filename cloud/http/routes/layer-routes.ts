import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import { deviceNotFound } from '#cloud/fleet/device-errors.js';
import { type Database, DeviceRepository } from '#cloud/fleet/device-repository.js';
import { explainDevice } from '#cloud/fleet/layers/explain-device.js';
import type { LayerOffice, LayerOutcome } from '#cloud/fleet/layers/layer-office.js';
import { LayerRepository, type StoredLayer } from '#cloud/fleet/layers/layer-repository.js';
import { afterName } from '#cloud/store/page.js';
import type { Routes } from '../app.js';
import { pageOf, pageQuery, workspaceParams } from '../schemas/common.js';
import {
  desiredExplained,
  type LayerBody,
  layerBody,
  type LayerContents,
  layerCreate,
  layerDelete,
  layerOutcome,
  type LayerOutcomeBody,
  layerPatch,
} from '../schemas/layers.js';
import { deviceParams } from './device-routes.js';

export interface LayerRouteDeps {
  readonly db: Database;
  readonly office: LayerOffice;
}

const all = '/v1/workspaces/:workspace/layers';
const path = `${all}/:layer` as const;
const params = z.object({ workspace: nameSchema, layer: nameSchema });
const tags = ['layers'];

export function layerRoutes({ db, office }: LayerRouteDeps): Routes {
  const layers = new LayerRepository(db);
  return (app) => {
    app.get(
      all,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Layers, by name',
          params: workspaceParams,
          querystring: pageQuery,
          response: { 200: pageOf(layerBody) },
        },
      },
      async (request) => {
        const { limit, cursor } = request.query;
        const found = await layers.list(request.params.workspace, { limit: limit + 1, after: cursor });
        return afterName(found.map(toBody), limit);
      },
    );

    app.post(
      all,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Save a layer; unless it is staged its devices take it at once, all of them or none',
          params: workspaceParams,
          body: layerCreate,
          response: { 200: layerOutcome },
        },
      },
      async (request) => {
        const { workspace } = request.params;
        const { dryRun, replace, name, ...contents } = request.body;
        const outcome = await office.save({ workspace, name, dryRun }, (before) => {
          if (before === undefined || replace) return contents;
          throw new AppError(
            'layer.exists',
            `workspace ${workspace} has a layer ${name} already: flotilla layer update ${name} changes it`,
          );
        });
        request.audited = auditOf(outcome, dryRun);
        return toOutcome(outcome, dryRun);
      },
    );

    app.get(
      path,
      { config: { role: 'reader' }, schema: { tags, summary: 'One layer', params, response: { 200: layerBody } } },
      async (request) => toBody(await layers.require(request.params.workspace, request.params.layer)),
    );

    app.patch(
      path,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Change a layer; unless it is staged its devices take it at once, all of them or none',
          params,
          body: layerPatch,
          response: { 200: layerOutcome },
        },
      },
      async (request) => {
        const { workspace, layer: name } = request.params;
        const { dryRun, ...patch } = request.body;
        await layers.require(workspace, name);
        const outcome = await office.save({ workspace, name, dryRun }, (before) => {
          if (before === undefined) throw new AppError('layer.not-found', `layer ${name} was deleted meanwhile`);
          return patched(before, patch);
        });
        request.audited = auditOf(outcome, dryRun);
        return toOutcome(outcome, dryRun);
      },
    );

    app.post(
      `${path}/delete`,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Delete a layer; unless that is staged its devices lose it at once, all of them or none',
          params,
          body: layerDelete,
          response: { 200: layerOutcome },
        },
      },
      async (request) => {
        const { workspace, layer: name } = request.params;
        const outcome = await office.delete({ workspace, name, ...request.body });
        request.audited = auditOf(outcome, request.body.dryRun);
        return toOutcome(outcome, request.body.dryRun);
      },
    );

    app.get(
      '/v1/workspaces/:workspace/devices/:device/desired',
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'What a device is to run, and which layer says each part of it',
          params: deviceParams,
          response: { 200: desiredExplained },
        },
      },
      async (request) => {
        const device = await new DeviceRepository(db).find(request.params);
        if (device === undefined) throw deviceNotFound(request.params);
        return explainDevice(db, request.params, device);
      },
    );
  };
}

/** Images stay by digest: what their names mean may have changed since. */
function patched(
  { description, where, priority, staged, modules }: StoredLayer,
  patch: Omit<z.output<typeof layerPatch>, 'dryRun'>,
): Omit<LayerContents, 'name'> {
  const kept = Object.entries(modules).map(([module, { image, ...said }]) => {
    return [module, { ...said, ...(image && { image: image.digest }) }] as const;
  });
  return {
    description: patch.description ?? description,
    where: patch.where ?? where,
    priority: patch.priority ?? priority,
    staged: patch.staged ?? staged,
    modules: patch.modules ?? Object.fromEntries(kept),
  };
}

function toBody({ query: _query, modules, ...layer }: StoredLayer): LayerBody {
  return { ...layer, modules: modules as LayerBody['modules'] };
}

function toOutcome({ layer, changed, devices, example }: LayerOutcome, dryRun: boolean): LayerOutcomeBody {
  return {
    ...{ layer: toBody(layer), saved: !dryRun, changed, devices },
    ...(example && { example: { device: example.device, changes: example.changes.map((one) => ({ ...one })) } }),
  };
}

function auditOf({ layer, devices }: LayerOutcome, dryRun: boolean): Record<string, string | number | boolean> {
  const { name, version, where, priority, staged } = layer;
  return { name, version, where, priority, staged, devices, ...(dryRun ? { dryRun } : {}) };
}
