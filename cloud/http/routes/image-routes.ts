import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { parseReference } from '#shared/kernel/names.js';
import { digestSchema, nameSchema } from '#shared/protocol/primitives.js';
import { toActivityBody } from '#cloud/activities/activity-body.js';
import type { ActivityRunner } from '#cloud/activities/activity-runner.js';
import { readStatement } from '#cloud/registry/image-statement.js';
import type { ImageIndex } from '#cloud/registry/image-index.js';
import { registerImageKind } from '#cloud/registry/register-image.js';
import type { ImageReference, ImageRepository, StoredImage } from '#cloud/store/image-repository.js';
import type { ModelRepository } from '#cloud/store/model-repository.js';
import type { Routes } from '../app.js';
import { activityBody } from '../schemas/activities.js';
import { pageOf, pageQuery, workspaceParams } from '../schemas/common.js';
import { imageBody, imageCreate, type ImageBody } from '../schemas/images.js';

export interface ImageRouteDeps {
  readonly images: ImageRepository;
  readonly models: ModelRepository;
  readonly index: ImageIndex;
  readonly runner: ActivityRunner;
  readonly clock: Clock;
}

const referenceParams = z.object({
  workspace: nameSchema,
  reference: z.string().max(160).describe('name:version, or the digest sha256:…'),
});
const listQuery = pageQuery.extend({ name: nameSchema.optional() });
const path = '/v1/workspaces/:workspace/images';
const tags = ['images'];

export function imageRoutes({ images, models, index, runner, clock }: ImageRouteDeps): Routes {
  const require = async (workspace: string, text: string): Promise<StoredImage> => {
    const image = await images.find(workspace, readImageReference(text));
    if (image === undefined) {
      throw new AppError('image.not-found', `there is no image ${text} in the workspace "${workspace}"`);
    }
    return image;
  };
  const toImageBody = async (image: StoredImage): Promise<ImageBody> => {
    const { workspace, name, version, digest, flavor, signature, layers, variants, size, tags: own, createdAt } = image;
    return {
      name,
      version,
      digest,
      flavor,
      signature: { ...signature, keyIds: [...signature.keyIds] },
      layers: [...layers],
      variants: [...variants],
      models: [...(await models.carriedBy(workspace, digest))],
      size,
      tags: own,
      createdAt,
    };
  };
  return (app) => {
    app.post(
      path,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Register an uploaded, signed image; runs as an activity',
          params: workspaceParams,
          body: imageCreate,
          response: { 202: activityBody },
        },
      },
      async (request, reply) => {
        const { workspace } = request.params;
        const { digest, envelope } = request.body;
        const { name } = readStatement(envelope, digest);
        const activity = await runner.start(workspace, registerImageKind, name, request.body);
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
          summary: 'Images, newest first',
          params: workspaceParams,
          querystring: listQuery,
          response: { 200: pageOf(imageBody) },
        },
      },
      async (request) => {
        const { name, ...page } = request.query;
        const found = await images.list(request.params.workspace, { name }, page);
        return { ...found, items: await Promise.all(found.items.map(toImageBody)) };
      },
    );

    app.get(
      `${path}/:reference`,
      {
        config: { role: 'reader' },
        schema: { tags, summary: 'One image', params: referenceParams, response: { 200: imageBody } },
      },
      async (request) => toImageBody(await require(request.params.workspace, request.params.reference)),
    );

    app.delete(
      `${path}/:reference`,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Delete an image that no device runs; its version is not given again',
          params: referenceParams,
          response: { 204: z.null() },
        },
      },
      async (request, reply) => {
        const { workspace, reference } = request.params;
        const { digest, name, version } = await require(workspace, reference);
        const outcome = await images.delete(workspace, digest, toInstant(clock.now()));
        if (outcome.kind === 'in-use') {
          throw new AppError(
            'image.in-use',
            `${name}:${String(version)} is deployed to ${outcome.devices.join(', ')}: undeploy it there first`,
            { details: { devices: outcome.devices } },
          );
        }
        if (outcome.kind === 'served') {
          throw new AppError(
            'image.in-use',
            `${name}:${String(version)} runs as ${outcome.services.join(', ')}: flotilla deployment delete first`,
            { details: { services: outcome.services } },
          );
        }
        if (outcome.kind === 'led-back-to') {
          throw new AppError(
            'image.in-use',
            `the newest rollout of ${shownDevices(outcome.devices)} can lead them back to ${name}:${String(version)}: it goes when another rollout or deployment has changed them, or that one is rolled back`,
            { details: { devices: outcome.devices } },
          );
        }
        if (outcome.kind === 'released') {
          throw new AppError(
            'image.in-use',
            `${name}:${String(version)} is in the releases ${outcome.releases.join(', ')}: delete them first`,
            { details: { releases: outcome.releases } },
          );
        }
        if (outcome.kind === 'layered') {
          throw new AppError(
            'image.in-use',
            `${name}:${String(version)} is in the layers ${outcome.layers.join(', ')}: change or delete them first`,
            { details: { layers: outcome.layers } },
          );
        }
        if (outcome.kind === 'indexed') {
          throw new AppError(
            'image.in-use',
            `${name}:${String(version)} is a variant of ${outcome.indexes.join(', ')}: delete them first`,
            { details: { indexes: outcome.indexes } },
          );
        }
        await index.write();
        return reply.code(204).send(null);
      },
    );
  };
}

/** @throws AppError `request.invalid` */
function readImageReference(text: string): ImageReference {
  if (digestSchema.safeParse(text).success) return { digest: text };
  const reference = parseReference(text);
  if (reference === undefined) {
    throw new AppError('request.invalid', `"${text.slice(0, 100)}" is neither name:version nor a sha256: digest`);
  }
  return reference;
}

function shownDevices(devices: readonly string[]): string {
  const more = devices.length - 10;
  return devices.slice(0, 10).join(', ') + (more > 0 ? ` and ${String(more)} more` : '');
}
