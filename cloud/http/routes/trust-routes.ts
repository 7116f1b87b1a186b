import type * as z from 'zod';
import type { AuthorityRotation } from '#cloud/trust/authority-rotation.js';
import type { DirectorRotation } from '#cloud/trust/director-rotation.js';
import type { TrustChain } from '#cloud/trust/trust-chain.js';
import type { TrustPublishing } from '#cloud/trust/trust-publishing.js';
import type { Routes } from '../app.js';
import { workspaceParams } from '../schemas/common.js';
import {
  authorityRotationBody,
  directorRotationBody,
  rotationStep,
  trustBody,
  trustCreate,
  trustCreated,
  trustVersionsBody,
  trustVersionsQuery,
} from '../schemas/trust.js';

export interface TrustRouteDeps {
  readonly chain: TrustChain;
  readonly publishing: TrustPublishing;
  readonly director: DirectorRotation;
  readonly authority: AuthorityRotation;
  /** Asked at each request: they change while the control plane runs. */
  readonly authorities: () => z.output<typeof trustBody>['authorities'];
}

const path = '/v1/workspaces/:workspace/trust';
const tags = ['trust'];

export function trustRoutes({ chain, publishing, director, authority, authorities }: TrustRouteDeps): Routes {
  return (app) => {
    app.get(
      path,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: "The newest trust document, and this control plane's keys and authorities",
          params: workspaceParams,
          response: { 200: trustBody },
        },
      },
      async (request) => {
        const { workspace } = request.params;
        const newest = await chain.newest(workspace);
        const envelope = newest === 0 ? null : ((await chain.find(workspace, newest)) ?? null);
        const waiting = (await authority.waiting(workspace)).map(({ device, lacks }) => ({ device, lacks }));
        return { newest, envelope, director: director.state(), authorities: authorities(), waiting };
      },
    );

    app.get(
      `${path}/versions`,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Versions of the trust document above one, in rising order, as many as fit',
          params: workspaceParams,
          querystring: trustVersionsQuery,
          response: { 200: trustVersionsBody },
        },
      },
      async (request) => publishing.answer({ ...request.params, device: '' }, request.query.after),
    );

    app.post(
      path,
      {
        config: { role: 'owner' },
        schema: {
          tags,
          summary: 'Publish the next version, signed by publishers; refused when no device would accept it',
          params: workspaceParams,
          body: trustCreate,
          response: { 201: trustCreated },
        },
      },
      async (request, reply) => {
        const version = await publishing.publish(request.params.workspace, request.body.envelope);
        return reply.code(201).send({ version });
      },
    );

    app.post(
      '/v1/rotations/director',
      {
        config: { role: 'owner', installation: true },
        schema: {
          tags,
          summary: 'Begin or finish the rotation of the director key; finishing is refused while devices would be lost',
          body: rotationStep,
          response: { 200: directorRotationBody },
        },
      },
      async ({ body }) => (body.step === 'begin' ? director.begin() : director.finish(body.force)),
    );

    app.post(
      '/v1/rotations/authority',
      {
        config: { role: 'owner', installation: true },
        schema: {
          tags,
          summary:
            'Begin or finish the rotation of the authority; finishing is refused while devices depend on the old one',
          body: rotationStep,
          response: { 200: authorityRotationBody },
        },
      },
      async ({ body }) => (body.step === 'begin' ? authority.begin() : authority.finish(body.force)),
    );
  };
}
