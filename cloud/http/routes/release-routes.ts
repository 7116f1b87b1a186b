import * as z from 'zod';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { formatReference } from '#shared/kernel/names.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import type { ModuleChange } from '#cloud/fleet/release-plan.js';
import type { Release, ReleaseRepository } from '#cloud/fleet/release-repository.js';
import type { Twin } from '#cloud/fleet/twin.js';
import type { Routes } from '../app.js';
import { pageOf, pageQuery, workspaceParams } from '../schemas/common.js';
import {
  type ReleaseBody,
  releaseBody,
  type ReleaseChange,
  releaseChanges,
  releaseCreate,
  releaseCreated,
  releaseDeploy,
  releaseDeployed,
} from '../schemas/releases.js';
import { deviceParams } from './device-routes.js';

export interface ReleaseRouteDeps {
  readonly releases: ReleaseRepository;
  readonly twin: Twin;
  readonly clock: Clock;
}

const all = '/v1/workspaces/:workspace/releases';
const path = `${all}/:release` as const;
const params = z.object({ workspace: nameSchema, release: z.string().max(128) });
const tags = ['releases'];

export function releaseRoutes({ releases, twin, clock }: ReleaseRouteDeps): Routes {
  return (app) => {
    app.post(
      all,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Make the next version of a release: modules at the digests that their images have now',
          params: workspaceParams,
          body: releaseCreate,
          response: { 200: releaseCreated, 201: releaseCreated },
        },
      },
      async (request, reply) => {
        const { unlessSame, ...contents } = request.body;
        const at = toInstant(clock.now());
        const { created, ...release } = await releases.create(request.params.workspace, contents, at, unlessSame);
        request.audited = { release: formatReference(release), created };
        return reply.code(created ? 201 : 200).send({ ...toReleaseBody(release), created });
      },
    );

    app.get(
      all,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Releases, newest first',
          params: workspaceParams,
          querystring: pageQuery.extend({ name: nameSchema.optional() }),
          response: { 200: pageOf(releaseBody) },
        },
      },
      async (request) => {
        const { name, ...page } = request.query;
        const found = await releases.list(request.params.workspace, { name }, page);
        return { ...found, items: found.items.map(toReleaseBody) };
      },
    );

    app.get(
      path,
      {
        config: { role: 'reader' },
        schema: { tags, summary: 'One release, as name:version', params, response: { 200: releaseBody } },
      },
      async (request) => toReleaseBody(await releases.require(request.params.workspace, request.params.release)),
    );

    app.delete(
      path,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Delete a release that no device has; its version is not given again',
          params,
          response: { 204: z.null() },
        },
      },
      async (request, reply) => {
        await releases.delete(request.params.workspace, request.params.release, toInstant(clock.now()));
        return reply.code(204).send(null);
      },
    );

    const ofDevice = '/v1/workspaces/:workspace/devices/:device';
    app.get(
      `${ofDevice}/release-changes`,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'What deploying a release to a device would change',
          params: deviceParams,
          querystring: releaseDeploy,
          response: { 200: releaseChanges },
        },
      },
      async (request) => {
        const release = await releases.require(request.params.workspace, request.query.release);
        const changes = await twin.planRelease(request.params, release);
        return { device: request.params.device, release: formatReference(release), changes: changes.map(toChange) };
      },
    );

    app.put(
      `${ofDevice}/release`,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Deploy a release to the device: it then runs the modules of the release, and no others',
          params: deviceParams,
          body: releaseDeploy,
          response: { 202: releaseDeployed },
        },
      },
      async (request, reply) => {
        const { device } = request.params;
        const release = await releases.require(request.params.workspace, request.body.release);
        const { generation, changes } = await twin.deployRelease(request.params, release);
        const reference = formatReference(release);
        request.audited = { release: reference, generation };
        return reply.code(202).send({ device, release: reference, generation, changes: changes.map(toChange) });
      },
    );
  };
}

function toReleaseBody({ modules, ...release }: Release): ReleaseBody {
  const bodies = modules.map(({ module, startAfter = [], ...rest }) => [
    module,
    { ...rest, startAfter: [...startAfter] },
  ]);
  return { ...release, modules: Object.fromEntries(bodies) as ReleaseBody['modules'] };
}

function toChange(change: ModuleChange): ReleaseChange {
  return {
    module: change.module,
    change: change.change,
    ...('before' in change ? { from: formatReference(change.before.image) } : {}),
    ...('after' in change ? { to: formatReference(change.after.image) } : {}),
  };
}
