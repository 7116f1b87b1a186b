/** The routes of commands to many devices and of their schedules, as the client calls them: a part of {@link routes}. */
import * as z from 'zod';
import {
  commandDeviceBody,
  commandDevicesQuery,
  commandJobBody,
  commandJobCreate,
} from '#cloud/http/schemas/commands.js';
import { pageOf, pageQuery } from '#cloud/http/schemas/common.js';
import { scheduleBody, scheduleCreate } from '#cloud/http/schemas/schedules.js';

const w = '/v1/workspaces/:workspace';

export const commandRoutes = {
  commandJobCreate: { method: 'POST', path: `${w}/commands`, body: commandJobCreate, response: commandJobBody },
  commandJobList: { method: 'GET', path: `${w}/commands`, query: pageQuery, response: pageOf(commandJobBody) },
  commandJobGet: { method: 'GET', path: `${w}/commands/:command`, response: commandJobBody },
  commandJobDevices: {
    method: 'GET',
    path: `${w}/commands/:command/devices`,
    query: commandDevicesQuery,
    response: pageOf(commandDeviceBody),
  },
  commandJobCancel: { method: 'POST', path: `${w}/commands/:command/cancel`, response: commandJobBody },
  scheduleCreate: { method: 'POST', path: `${w}/schedules`, body: scheduleCreate, response: scheduleBody },
  scheduleList: { method: 'GET', path: `${w}/schedules`, query: pageQuery, response: pageOf(scheduleBody) },
  scheduleGet: { method: 'GET', path: `${w}/schedules/:schedule`, response: scheduleBody },
  scheduleDelete: { method: 'DELETE', path: `${w}/schedules/:schedule`, response: z.unknown() },
} as const;
