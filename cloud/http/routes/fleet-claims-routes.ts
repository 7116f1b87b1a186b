import * as z from 'zod';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { nameSchema, tagsSchema } from '#shared/protocol/primitives.js';
import type { ClaimOffice } from '#cloud/fleet/claim-office.js';
import type { FleetClaim, FleetClaims } from '#cloud/fleet/fleet-claims.js';
import type { Routes } from '../app.js';
import { pageOf, pageQuery, workspaceParams } from '../schemas/common.js';
import {
  allowTagsSchema,
  type ClaimBody,
  claimBody,
  claimCreate,
  claimDecided,
  claimDecision,
  claimRequestQuery,
  claimRequestsBody,
} from '../schemas/device-identity.js';
import { enrolmentTokenBody } from '../schemas/devices.js';
import type { EnrolmentTokensRouteDeps } from './enrolment-tokens-routes.js';

export interface FleetClaimsRouteDeps extends Pick<EnrolmentTokensRouteDeps, 'trust'> {
  readonly claims: FleetClaims;
  readonly office: ClaimOffice;
  readonly clock: Clock;
}

const claimParams = z.object({ workspace: nameSchema, claim: nameSchema });
const path = '/v1/workspaces/:workspace/fleet-claims';
const tags = ['devices'];

export function fleetClaimsRoutes({ claims, office, clock, trust }: FleetClaimsRouteDeps): Routes {
  const bodyOf = (claim: FleetClaim, taken: number, pending: number): ClaimBody => ({
    name: claim.name,
    state:
      claim.revokedAt !== null
        ? 'revoked'
        : claim.expiresAt <= toInstant(clock.now())
          ? 'ended'
          : taken >= claim.maxDevices
            ? 'full'
            : 'open',
    maxDevices: claim.maxDevices,
    taken,
    pending,
    approval: claim.approval === 1,
    ratePerSecond: claim.ratePerSecond,
    tags: tagsSchema.parse(JSON.parse(claim.tagsJson)),
    allowTags: allowTagsSchema.parse(JSON.parse(claim.allowTagsJson)),
    ...(claim.nameTemplate === null ? {} : { nameTemplate: claim.nameTemplate }),
    hardwareListed: claim.hardwareListed === 1,
    createdAt: claim.createdAt,
    expiresAt: claim.expiresAt,
    ...(claim.revokedAt === null ? {} : { revokedAt: claim.revokedAt }),
  });
  return (app) => {
    app.post(
      path,
      {
        config: { role: 'owner' },
        bodyLimit: 16 * 1024 * 1024,
        schema: {
          tags,
          summary: 'Make a claim with which many devices enrol; its secret is shown only here',
          params: workspaceParams,
          body: claimCreate,
          response: { 201: enrolmentTokenBody },
        },
      },
      async (request, reply) => {
        const { workspace } = request.params;
        const { ttlSeconds, ...terms } = request.body;
        const { secret, claim } = await claims.create(workspace, { ...terms, ttlMs: ttlSeconds * 1000 });
        const { gatewayUrl, authority, director } = trust();
        const { expiresAt } = claim;
        return reply.code(201).send({ secret, expiresAt, url: gatewayUrl, workspace, authority, director });
      },
    );

    app.get(
      path,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Fleet claims, by name',
          params: workspaceParams,
          querystring: pageQuery,
          response: { 200: pageOf(claimBody) },
        },
      },
      async (request) => {
        const { items, ...rest } = await office.list(request.params.workspace, request.query);
        return { ...rest, items: items.map(({ claim, taken, pending }) => bodyOf(claim, taken, pending)) };
      },
    );

    app.post(
      `${path}/:claim/revoke`,
      {
        config: { role: 'owner' },
        schema: {
          tags,
          summary: 'End a claim: it lets nobody in any more, and who came stays',
          params: claimParams,
          response: { 200: z.object({ name: nameSchema, revokedAt: z.string() }) },
        },
      },
      async (request) => {
        const { name, revokedAt } = await office.revoke(request.params.workspace, request.params.claim);
        return { name, revokedAt: revokedAt ?? '' };
      },
    );

    app.get(
      `${path}/:claim/requests`,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Devices that came with a claim, the oldest first',
          params: claimParams,
          querystring: claimRequestQuery,
          response: { 200: claimRequestsBody },
        },
      },
      async (request) => {
        const { workspace, claim } = request.params;
        const { state, ...page } = request.query;
        const { items, ...rest } = await office.requests(workspace, claim, state, page);
        return {
          ...rest,
          items: items.map(({ device, hardwareId, requestedAt, decidedAt, reason, ...request_ }) => ({
            device,
            state: request_.state,
            requestedAt,
            ...(hardwareId === null ? {} : { hardwareId }),
            ...(decidedAt === null ? {} : { decidedAt }),
            ...(reason === null ? {} : { reason }),
          })),
        };
      },
    );

    app.post(
      `${path}/:claim/decisions`,
      {
        config: { role: 'owner' },
        schema: {
          tags,
          summary: 'Approve or reject a device that waits, or all that wait now',
          params: claimParams,
          body: claimDecision,
          response: { 200: claimDecided },
        },
      },
      async (request) => {
        const { workspace, claim } = request.params;
        const { verdict, device, reason } = request.body;
        const who = device === undefined ? ('all' as const) : { device };
        const devices = await office.decide(
          workspace,
          claim,
          who,
          verdict === 'approve' ? { state: 'approved' } : { state: 'rejected', reason },
        );
        return { devices };
      },
    );
  };
}
