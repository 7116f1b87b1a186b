import * as z from 'zod';
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import type { FreezeRepository } from '#cloud/rollout/freeze-repository.js';
import type { FreezeTable } from '#cloud/store/rollout-tables.js';
import type { Routes } from '../app.js';
import { pageOf, pageQuery, workspaceParams } from '../schemas/common.js';
import { type FreezeBody, freezeBody, freezeCreate } from '../schemas/freezes.js';

export interface FreezeRouteDeps {
  readonly freezes: FreezeRepository;
  readonly clock: Clock;
  /** Rollouts are to be looked at. */
  readonly onChanged: () => void;
}

const all = '/v1/workspaces/:workspace/freezes';
const tags = ['rollouts'];

export function freezeRoutes({ freezes, clock, onChanged }: FreezeRouteDeps): Routes {
  return (app) => {
    app.get(
      all,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Freeze periods, the earliest first',
          params: workspaceParams,
          querystring: pageQuery,
          response: { 200: pageOf(freezeBody) },
        },
      },
      async (request) => {
        const page = await freezes.list(request.params.workspace, request.query);
        return { ...page, items: page.items.map(toBody) };
      },
    );

    app.post(
      all,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Freeze rollouts for a time: they ask nobody for anything new',
          params: workspaceParams,
          body: freezeCreate,
          response: { 201: freezeBody },
        },
      },
      async (request, reply) => {
        const { name, from, until, where = '', reason } = request.body;
        request.audited = { name, from, until, where };
        const order = { name, from: Date.parse(from), until: Date.parse(until), where, reason };
        const by = request.principal?.name ?? '';
        const made = await freezes.create(request.params.workspace, { ...order, by }, clock.now());
        onChanged();
        return reply.code(201).send(toBody(made));
      },
    );

    app.delete(
      `${all}/:freeze`,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'End a freeze period, or take back one that has not begun',
          params: z.object({ workspace: nameSchema, freeze: nameSchema }),
          response: { 204: z.null() },
        },
      },
      async (request, reply) => {
        await freezes.delete(request.params.workspace, request.params.freeze);
        onChanged();
        return reply.code(204).send(null);
      },
    );
  };
}

function toBody({ name, startsAt, endsAt, whereText, reason, createdAt, createdBy }: FreezeTable): FreezeBody {
  return {
    ...{ name, from: toInstant(startsAt), until: toInstant(endsAt), reason, createdAt, createdBy },
    ...(whereText === '' ? {} : { where: whereText }),
  };
}
