import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import { toActivityBody } from '#cloud/activities/activity-body.js';
import type { ActivityRunner } from '#cloud/activities/activity-runner.js';
import { registerModelKind } from '#cloud/registry/register-model.js';
import type { BlobStore } from '#cloud/store/blob-store.js';
import type { ModelRepository, StoredModel } from '#cloud/store/model-repository.js';
import type { Routes } from '../app.js';
import { activityBody } from '../schemas/activities.js';
import { pageOf, pageQuery, workspaceParams } from '../schemas/common.js';
import { modelBody, modelCreate, modelPatch, type ModelBody } from '../schemas/models.js';
import { sendBlob } from '../send-blob.js';
import { tagQuery } from '../tag-query.js';

export interface ModelRouteDeps {
  readonly models: ModelRepository;
  readonly runner: ActivityRunner;
  readonly store: BlobStore;
  readonly clock: Clock;
}

const versionParams = z.object({
  workspace: nameSchema,
  name: nameSchema,
  version: z.coerce.number().int().min(1).max(999_999_999),
});
const fileParams = versionParams.extend({ '*': z.string().max(255) });
const listQuery = pageQuery.extend({ name: nameSchema.optional(), tag: tagQuery });
const path = '/v1/workspaces/:workspace/models';
const versionPath = `${path}/:name/versions/:version`;
const tags = ['models'];

export function modelRoutes({ models, runner, store, clock }: ModelRouteDeps): Routes {
  const require = async (key: z.output<typeof versionParams>): Promise<StoredModel> => {
    const model = await models.find(key.workspace, key.name, key.version);
    if (model === undefined) throw await unknownModel(models, key);
    return model;
  };
  return (app) => {
    app.post(
      path,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Register a model version from uploaded blobs; runs as an activity',
          params: workspaceParams,
          body: modelCreate,
          response: { 202: activityBody },
        },
      },
      async (request, reply) => {
        const { workspace } = request.params;
        const activity = await runner.start(workspace, registerModelKind, request.body.name, request.body);
        reply.header('location', `/v1/workspaces/${workspace}/activities/${activity.id}`);
        return reply.code(202).send(toActivityBody(activity));
      },
    );

    app.get(
      path,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Model versions, newest first; tag=stage=dev asks for a value, tag=stage for the tag',
          params: workspaceParams,
          querystring: listQuery,
          response: { 200: pageOf(modelBody) },
        },
      },
      async (request) => {
        const { name, tag, ...page } = request.query;
        const found = await models.list(request.params.workspace, { name, tags: tag }, page);
        return { ...found, items: found.items.map(toModelBody) };
      },
    );

    app.get(
      versionPath,
      {
        config: { role: 'reader' },
        schema: { tags, summary: 'One model version', params: versionParams, response: { 200: modelBody } },
      },
      async (request) => toModelBody(await require(request.params)),
    );

    app.patch(
      versionPath,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Change description and tags; a tag set to null is removed',
          params: versionParams,
          body: modelPatch,
          response: { 200: modelBody },
        },
      },
      async (request) => {
        const { workspace, name, version } = request.params;
        if (!(await models.patch(workspace, name, version, request.body)))
          throw await unknownModel(models, request.params);
        return toModelBody(await require(request.params));
      },
    );

    app.delete(
      versionPath,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Delete a model version that no device runs; its number is not given again',
          params: versionParams,
          response: { 204: z.null() },
        },
      },
      async (request, reply) => {
        const { workspace, name, version } = request.params;
        const outcome = await models.delete(workspace, name, version, toInstant(clock.now()));
        if (outcome.kind === 'absent') throw await unknownModel(models, request.params);
        if (outcome.kind === 'in-use') {
          throw new AppError(
            'model.in-use',
            `${name}:${String(version)} runs on ${outcome.devices.join(', ')}: undeploy it there first`,
            { details: { devices: outcome.devices } },
          );
        }
        if (outcome.kind === 'served') {
          throw new AppError(
            'model.in-use',
            `${name}:${String(version)} runs as ${outcome.services.join(', ')}: flotilla deployment delete first`,
            { details: { services: outcome.services } },
          );
        }
        return reply.code(204).send(null);
      },
    );

    app.route({
      method: ['GET', 'HEAD'],
      url: `${versionPath}/files/*`,
      config: { role: 'reader', bytes: 'answer' },
      schema: { tags, summary: 'A file of a model version; takes Range', params: fileParams },
      handler: async (request, reply) => {
        const { '*': filePath, ...key } = request.params;
        const model = await require(key);
        const file = model.files.find((candidate) => candidate.path === filePath);
        if (file === undefined) {
          throw new AppError(
            'request.not-found',
            `${key.name}:${String(key.version)} has no file ${filePath}; it has ${model.files.map((one) => one.path).join(', ')}`,
          );
        }
        return sendBlob(request, reply, store, file.digest);
      },
    });
  };
}

function toModelBody(model: StoredModel): ModelBody {
  const { name, version, description, tags: own, properties, files, signature, size, createdAt } = model;
  return { name, version, description, tags: own, properties, files: [...files], signature, size, createdAt };
}

async function unknownModel(models: ModelRepository, key: z.output<typeof versionParams>): Promise<AppError> {
  const versions = await models.versions(key.workspace, key.name);
  return new AppError(
    'model.not-found',
    versions.length === 0
      ? `there is no model "${key.name}" in the workspace "${key.workspace}"`
      : `there is no ${key.name}:${String(key.version)}; there are versions ${versions.slice(-20).join(', ')}`,
  );
}
