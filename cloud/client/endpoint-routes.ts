/** The routes of web services as the client calls them: a part of {@link routes}. */
import { activityBody } from '#cloud/http/schemas/activities.js';
import { pageOf, pageQuery } from '#cloud/http/schemas/common.js';
import { compareBody, compareQuery } from '#cloud/http/schemas/compare.js';
import { endpointOpenApiBody, endpointOpenApiQuery } from '#cloud/http/schemas/endpoint-openapi.js';
import {
  deploymentBody,
  deploymentCreate,
  deploymentPatch,
  endpointBody,
  endpointCreate,
  endpointDeleteQuery,
  endpointKeysBody,
  endpointPatch,
  endpointStatusBody,
  endpointTokenBody,
  endpointTokenCreate,
  keyRegenerate,
  logsBody,
  logsQuery,
  trafficChange,
} from '#cloud/http/schemas/endpoints.js';
import { placedDeploymentBody, placedDeploymentQuery } from '#cloud/http/schemas/placed-deployments.js';
import { shiftBody, shiftDetail, shiftHistoryBody, shiftOrder, shiftStart } from '#cloud/http/schemas/shifts.js';
import { telemetryBody, telemetryQuery } from '#cloud/http/schemas/telemetry.js';

const all = '/v1/workspaces/:workspace/endpoints';
const one = `${all}/:endpoint` as const;
const deployment = `${one}/deployments/:deployment` as const;
const shift = `${one}/shifts/:shift` as const;

export const endpointRoutes = {
  endpointList: { method: 'GET', path: all, query: pageQuery, response: pageOf(endpointBody) },
  endpointCreate: { method: 'POST', path: all, body: endpointCreate, response: endpointBody },
  endpointGet: { method: 'GET', path: one, response: endpointBody },
  endpointPatch: { method: 'PATCH', path: one, body: endpointPatch, response: endpointBody },
  endpointDelete: { method: 'DELETE', path: one, query: endpointDeleteQuery, response: endpointBody },
  endpointTraffic: { method: 'PUT', path: `${one}/traffic`, body: trafficChange, response: endpointBody },
  endpointKeys: { method: 'POST', path: `${one}/keys`, response: endpointKeysBody },
  endpointKeyRegenerate: {
    method: 'POST',
    path: `${one}/keys/regenerate`,
    body: keyRegenerate,
    response: endpointKeysBody,
  },
  endpointToken: { method: 'POST', path: `${one}/token`, body: endpointTokenCreate, response: endpointTokenBody },
  endpointStatus: { method: 'GET', path: `${one}/status`, response: endpointStatusBody },
  endpointOpenApi: {
    method: 'GET',
    path: `${one}/openapi`,
    query: endpointOpenApiQuery,
    response: endpointOpenApiBody,
  },
  placedDeployments: {
    method: 'GET',
    path: '/v1/workspaces/:workspace/deployments',
    query: placedDeploymentQuery,
    response: pageOf(placedDeploymentBody),
  },
  deploymentList: { method: 'GET', path: `${one}/deployments`, query: pageQuery, response: pageOf(deploymentBody) },
  deploymentCreate: {
    method: 'POST',
    path: `${one}/deployments`,
    body: deploymentCreate,
    response: activityBody,
  },
  deploymentGet: { method: 'GET', path: deployment, response: deploymentBody },
  deploymentPatch: { method: 'PATCH', path: deployment, body: deploymentPatch, response: activityBody },
  deploymentDelete: { method: 'DELETE', path: deployment, response: activityBody },
  compare: {
    method: 'GET',
    path: '/v1/workspaces/:workspace/compare',
    query: compareQuery,
    response: compareBody,
  },
  shiftList: { method: 'GET', path: `${one}/shifts`, query: pageQuery, response: pageOf(shiftBody) },
  shiftStart: { method: 'POST', path: `${one}/shifts`, body: shiftStart, response: shiftBody },
  shiftGet: { method: 'GET', path: shift, response: shiftDetail },
  shiftHistory: { method: 'GET', path: `${shift}/history`, query: pageQuery, response: pageOf(shiftHistoryBody) },
  shiftOrder: { method: 'POST', path: `${shift}/orders`, body: shiftOrder, response: shiftBody },
  deploymentTelemetry: {
    method: 'GET',
    path: `${deployment}/telemetry`,
    query: telemetryQuery,
    response: telemetryBody,
  },
  deploymentLogs: { method: 'GET', path: `${deployment}/logs`, query: logsQuery, response: logsBody },
} as const;
