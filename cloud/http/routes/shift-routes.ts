/** Traffic of an endpoint that goes over to another deployment in steps. */
import * as z from 'zod';
import type { Clock } from '#shared/kernel/clock.js';
import { CostlyAnswers } from '#cloud/rollout/costly-answers.js';
import type { EndpointRepository } from '#cloud/services/control/endpoint-repository.js';
import { toShiftBody, toShiftDetail } from '#cloud/services/shift/shift-bodies.js';
import type { ShiftController } from '#cloud/services/shift/shift-controller.js';
import type { ShiftOffice } from '#cloud/services/shift/shift-office.js';
import type { ShiftRepository } from '#cloud/services/shift/shift-repository.js';
import type { Routes } from '../app.js';
import { pageOf, pageQuery } from '../schemas/common.js';
import {
  shiftBody,
  type ShiftDetail,
  shiftDetail,
  shiftHistoryBody,
  shiftOrder,
  shiftStart,
} from '../schemas/shifts.js';
import { endpointParams, endpointsPath } from './endpoint-routes.js';

export interface ShiftRouteDeps {
  readonly endpoints: EndpointRepository;
  readonly shifts: ShiftRepository;
  readonly office: ShiftOffice;
  readonly controller: Pick<ShiftController, 'look'>;
  readonly clock: Pick<Clock, 'monotonic'>;
}

const all = `${endpointsPath}/:endpoint/shifts` as const;
const one = `${all}/:shift` as const;
const params = endpointParams.extend({
  shift: z.coerce
    .number()
    .int()
    .min(1)
    .max(2 ** 31),
});
const tags = ['endpoints'];

export function shiftRoutes({ endpoints, shifts, office, controller, clock }: ShiftRouteDeps): Routes {
  const details = new CostlyAnswers<ShiftDetail>(clock);
  return (app) => {
    app.get(
      all,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Shifts of the traffic of an endpoint, newest first',
          params: endpointParams,
          querystring: pageQuery,
          response: { 200: pageOf(shiftBody) },
        },
      },
      async (request) => {
        const { workspace, endpoint: name } = request.params;
        const endpoint = await endpoints.require(workspace, name);
        const { items, ...page } = await shifts.list(endpoint.id, request.query);
        return { ...page, items: items.map((stored) => toShiftBody(name, stored)) };
      },
    );

    app.post(
      all,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Let a deployment take over the traffic in steps, each with gates that must pass before the next',
          params: endpointParams,
          body: shiftStart,
          response: { 201: shiftBody },
        },
      },
      async (request, reply) => {
        const { workspace, endpoint } = request.params;
        const { to, policy } = request.body;
        const by = request.principal?.name ?? '';
        const stored = await office.start(workspace, endpoint, { to, policy, by });
        request.audited = { shift: stored.number, to };
        return reply.code(201).send(toShiftBody(endpoint, stored));
      },
    );

    app.get(
      one,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'One shift: how it stands, what it waits for, and what its gates say',
          params,
          response: { 200: shiftDetail },
        },
      },
      async (request) => {
        const { workspace, endpoint: name, shift } = request.params;
        const endpoint = await endpoints.require(workspace, name);
        const stored = await shifts.require(endpoint, shift);
        return details.of(JSON.stringify([endpoint.id, shift, stored.revision]), async () =>
          toShiftDetail(name, stored, await shifts.verdicts(stored), await controller.look(stored)),
        );
      },
    );

    app.get(
      `${one}/history`,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'What has happened, newest first',
          params,
          querystring: pageQuery,
          response: { 200: pageOf(shiftHistoryBody) },
        },
      },
      async (request) => {
        const { workspace, endpoint, shift } = request.params;
        const stored = await shifts.require(await endpoints.require(workspace, endpoint), shift);
        const { items, ...page } = await shifts.history(stored, request.query);
        return { ...page, items: [...items] };
      },
    );

    app.post(
      `${one}/orders`,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Pause a shift, resume it in spite of the gate that stopped it, or abort it: all as it was before',
          params,
          body: shiftOrder,
          response: { 200: shiftBody },
        },
      },
      async (request) => {
        const { workspace, endpoint: name, shift } = request.params;
        const { order } = request.body;
        request.audited = { shift, order };
        const endpoint = await endpoints.require(workspace, name);
        return toShiftBody(name, await office.order(endpoint, shift, order, request.principal?.name ?? ''));
      },
    );
  };
}
