/** Collected data as the client calls for it: a part of {@link routes}. */
import * as z from 'zod';
import { collectRuleSchema } from '#shared/protocol/collect.js';
import { pageOf } from '#cloud/http/schemas/common.js';
import {
  dataDeletedBody,
  dataDeleteQuery,
  dataFileBody,
  dataListQuery,
  dataReadQuery,
} from '#cloud/http/schemas/data.js';
import { generationBody } from '#cloud/http/schemas/devices.js';

const all = '/v1/workspaces/:workspace/data';
const collect = '/v1/workspaces/:workspace/devices/:device/modules/:module/collect';

export const dataRoutes = {
  dataList: { method: 'GET', path: all, query: dataListQuery, response: pageOf(dataFileBody) },
  /** Bytes: see `openData`. */
  dataRead: { method: 'GET', path: `${all}/content`, query: dataReadQuery, response: z.unknown() },
  dataDelete: { method: 'DELETE', path: all, query: dataDeleteQuery, response: dataDeletedBody },
  collectPut: { method: 'PUT', path: collect, body: collectRuleSchema, response: generationBody },
  collectEnd: { method: 'DELETE', path: collect, response: generationBody },
} as const;
