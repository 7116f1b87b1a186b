import * as z from 'zod';
import { toInstant } from '#shared/kernel/clock.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import type { CommandJob, JobAddress } from '#cloud/commands/command-model.js';
import type { CommandOffice } from '#cloud/commands/command-office.js';
import type { CommandRepository, JobDevice } from '#cloud/commands/command-repository.js';
import type { Routes } from '../app.js';
import {
  type CommandDeviceBody,
  commandDeviceBody,
  commandDevicesQuery,
  type CommandJobBody,
  commandJobBody,
  commandJobCreate,
} from '../schemas/commands.js';
import { pageOf, pageQuery, workspaceParams } from '../schemas/common.js';

export interface CommandRouteDeps {
  readonly commands: CommandRepository;
  readonly office: CommandOffice;
}

const all = '/v1/workspaces/:workspace/commands';
const path = `${all}/:command` as const;
const params = z.object({
  workspace: nameSchema,
  command: z.coerce
    .number()
    .int()
    .min(1)
    .max(2 ** 31),
});
const tags = ['commands'];

export function commandRoutes({ commands, office }: CommandRouteDeps): Routes {
  const addressOf = ({ workspace, command }: z.output<typeof params>): JobAddress => ({ workspace, number: command });
  const bodyOf = async (job: CommandJob): Promise<CommandJobBody> => toBody(job, await commands.counts(job));
  return (app) => {
    app.post(
      all,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Send a command to many devices; answers are gathered until the deadline',
          params: workspaceParams,
          body: commandJobCreate,
          response: { 201: commandJobBody },
        },
      },
      async (request, reply) => {
        const { workspace } = request.params;
        const job = await office.start(workspace, request.body, request.principal?.name ?? '');
        const { number: command, operation, devices, query: where, fleet } = job;
        request.audited = { command, operation, devices, where, ...(fleet === undefined ? {} : { fleet }) };
        return reply.code(201).send(await bodyOf(job));
      },
    );

    app.get(
      all,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Commands to many devices, newest first',
          params: workspaceParams,
          querystring: pageQuery,
          response: { 200: pageOf(commandJobBody) },
        },
      },
      async (request) => {
        const page = await commands.list(request.params.workspace, request.query);
        const items: CommandJobBody[] = [];
        for (const job of page.items) items.push(await bodyOf(job));
        return { ...page, items };
      },
    );

    app.get(
      path,
      {
        config: { role: 'reader' },
        schema: { tags, summary: 'One of them; poll it until endedAt', params, response: { 200: commandJobBody } },
      },
      async (request) => bodyOf(await commands.require(addressOf(request.params))),
    );

    // Answers hold what devices log and score: for those who may ask a device themselves.
    app.get(
      `${path}/devices`,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'What each device answered, by name',
          params,
          querystring: commandDevicesQuery,
          response: { 200: pageOf(commandDeviceBody) },
        },
      },
      async (request) => {
        const { standing, ...paging } = request.query;
        const job = await commands.require(addressOf(request.params));
        const page = await commands.devices(job, paging, standing);
        return { ...page, items: page.items.map(toDeviceBody) };
      },
    );

    app.post(
      `${path}/cancel`,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Send it to no further device; what was sent may still be answered',
          params,
          response: { 200: commandJobBody },
        },
      },
      async (request) => bodyOf(await office.cancel(addressOf(request.params))),
    );
  };
}

function toBody(job: CommandJob, standings: CommandJobBody['standings']): CommandJobBody {
  const { number, operation, fleet, query, state, devices, concurrency, timeoutMs, deadlineAt } = job;
  const { schedule, createdAt, createdBy, endedAt } = job;
  return {
    ...{ number, operation, where: query, state, devices, standings, concurrency },
    ...{ timeoutSeconds: timeoutMs / 1000, deadline: toInstant(deadlineAt), createdAt, createdBy },
    ...(fleet === undefined ? {} : { fleet }),
    ...(schedule === undefined ? {} : { schedule }),
    ...(endedAt === undefined ? {} : { endedAt }),
  };
}

function toDeviceBody({ device, standing, sentAt, endedAt, answerJson, problemJson }: JobDevice): CommandDeviceBody {
  return {
    ...{ device, standing },
    ...(sentAt === null || endedAt === null ? {} : { milliseconds: Math.max(0, endedAt - sentAt) }),
    ...(answerJson === null ? {} : { answer: z.json().parse(JSON.parse(answerJson)) }),
    ...(problemJson === null ? {} : { problem: commandDeviceBody.shape.problem.parse(JSON.parse(problemJson)) }),
  };
}
