/**
 * Every route that the client calls: method, path, and the schemas of what goes in and comes out,
 * the same ones the server answers with. A new route is one entry here.
 */
import * as z from 'zod';
import { nameSchema } from '#shared/protocol/primitives.js';
import { activityBody, activityLog, activityLogQuery } from '#cloud/http/schemas/activities.js';
import { auditBody, auditChainBody, auditQuery } from '#cloud/http/schemas/audit.js';
import { pageOf, pageQuery } from '#cloud/http/schemas/common.js';
import {
  commandBody,
  commandCreate,
  deviceBody,
  devicePatch,
  enrolmentTokenBody,
  enrolmentTokenCreate,
  eventBody,
  generationBody,
  moduleDeploy,
  modulesDeploy,
  shadowDeploy,
} from '#cloud/http/schemas/devices.js';
import {
  certificatesBody,
  certificatesRevoke,
  certificatesRevoked,
  claimBody,
  claimCreate,
  claimDecided,
  claimDecision,
  claimRequestQuery,
  claimRequestsBody,
  replacementCreate,
} from '#cloud/http/schemas/device-identity.js';
import { deviceCount, fleetBody, fleetCounted, fleetCreate, fleetPatch } from '#cloud/http/schemas/fleets.js';
import { freezeBody, freezeCreate } from '#cloud/http/schemas/freezes.js';
import { rolloutScheduleBody, rolloutScheduleCreate } from '#cloud/http/schemas/rollout-schedules.js';
import { imageBody, imageCreate } from '#cloud/http/schemas/images.js';
import { modelBody, modelCreate, modelPatch } from '#cloud/http/schemas/models.js';
import {
  releaseBody,
  releaseChanges,
  releaseCreate,
  releaseCreated,
  releaseDeploy,
  releaseDeployed,
} from '#cloud/http/schemas/releases.js';
import {
  historyBody,
  rolloutBody,
  rolloutGates,
  rolloutOrder,
  rolloutPlan,
  rolloutPlanned,
  rolloutStart,
  rolloutWaits,
} from '#cloud/http/schemas/rollouts.js';
import { loginBody, serverBody } from '#cloud/http/schemas/server.js';
import { seriesBody, seriesQuery, telemetryBody, telemetryQuery } from '#cloud/http/schemas/telemetry.js';
import { createdToken, selfBody, tokenBody, tokenCreate } from '#cloud/http/schemas/tokens.js';
import {
  authorityRotationBody,
  directorRotationBody,
  rotationStep,
  trustBody,
  trustCreate,
  trustCreated,
  trustVersionsBody,
  trustVersionsQuery,
} from '#cloud/http/schemas/trust.js';
import { workspaceBody, workspaceCreate } from '#cloud/http/schemas/workspaces.js';
import { alertRoutes } from './alert-routes.js';
import { commandRoutes } from './command-routes.js';
import { dataRoutes } from './data-routes.js';
import { endpointRoutes } from './endpoint-routes.js';
import { layerRoutes } from './layer-routes.js';

export type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';

export interface Route {
  readonly method: Method;
  /** Parts that start with `:` are parameters; `:workspace` is the client's own. */
  readonly path: string;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  readonly response: z.ZodType;
}

type ParameterNames<Path extends string> = Path extends `${infer Head}/${infer Rest}`
  ? ParameterNames<Head> | ParameterNames<Rest>
  : Path extends `:${infer Name}`
    ? Exclude<Name, 'workspace'>
    : never;

type ParametersOf<R extends Route> = [ParameterNames<R['path']>] extends [never]
  ? { readonly params?: undefined }
  : { readonly params: Readonly<Record<ParameterNames<R['path']>, string>> };
type QueryOf<R extends Route> = R extends { readonly query: z.ZodType }
  ? { readonly query?: z.input<R['query']> }
  : { readonly query?: undefined };
type BodyOf<R extends Route> = R extends { readonly body: z.ZodType }
  ? { readonly body: z.input<R['body']> }
  : { readonly body?: undefined };

/** What a call of this route must be given. */
export type CallInput<R extends Route> = ParametersOf<R> & QueryOf<R> & BodyOf<R>;
export type Answer<R extends Route> = z.output<R['response']>;

/** Answers without a body, and bodies that are streamed rather than parsed. */
const none = z.unknown();
const w = '/v1/workspaces/:workspace';

const named = pageQuery.extend({ name: z.string().optional() });
const where = pageQuery.extend({ where: z.string().optional() });
const tagged = named.extend({ tag: z.array(z.string()).optional() });

export const routes = {
  server: { method: 'GET', path: '/v1/server', response: serverBody },

  login: { method: 'GET', path: '/v1/login', response: loginBody },
  self: { method: 'GET', path: '/v1/self', response: selfBody },
  tokenList: { method: 'GET', path: `${w}/tokens`, query: pageQuery, response: pageOf(tokenBody) },
  tokenCreate: { method: 'POST', path: `${w}/tokens`, body: tokenCreate, response: createdToken },
  tokenRevoke: { method: 'DELETE', path: `${w}/tokens/:id`, response: tokenBody },
  installationTokenList: { method: 'GET', path: '/v1/tokens', query: pageQuery, response: pageOf(tokenBody) },
  installationTokenCreate: { method: 'POST', path: '/v1/tokens', body: tokenCreate, response: createdToken },
  installationTokenRevoke: { method: 'DELETE', path: '/v1/tokens/:id', response: tokenBody },

  audit: { method: 'GET', path: `${w}/audit`, query: auditQuery, response: pageOf(auditBody) },
  installationAudit: { method: 'GET', path: '/v1/audit', query: auditQuery, response: pageOf(auditBody) },
  auditChain: { method: 'GET', path: '/v1/audit/chain', response: auditChainBody },

  workspaceList: { method: 'GET', path: '/v1/workspaces', query: pageQuery, response: pageOf(workspaceBody) },
  workspaceCreate: { method: 'POST', path: '/v1/workspaces', body: workspaceCreate, response: workspaceBody },
  workspaceDelete: { method: 'DELETE', path: '/v1/workspaces/:name', response: none },

  blobHead: { method: 'HEAD', path: `${w}/blobs/:digest`, response: none },
  blobGet: { method: 'GET', path: `${w}/blobs/:digest`, response: none },
  blobPut: { method: 'PUT', path: `${w}/blobs/:digest`, response: none },

  modelList: { method: 'GET', path: `${w}/models`, query: tagged, response: pageOf(modelBody) },
  modelRegister: { method: 'POST', path: `${w}/models`, body: modelCreate, response: activityBody },
  modelGet: { method: 'GET', path: `${w}/models/:name/versions/:version`, response: modelBody },
  modelPatch: { method: 'PATCH', path: `${w}/models/:name/versions/:version`, body: modelPatch, response: modelBody },
  modelDelete: { method: 'DELETE', path: `${w}/models/:name/versions/:version`, response: none },

  imageList: { method: 'GET', path: `${w}/images`, query: named, response: pageOf(imageBody) },
  imageRegister: { method: 'POST', path: `${w}/images`, body: imageCreate, response: activityBody },
  imageGet: { method: 'GET', path: `${w}/images/:reference`, response: imageBody },
  imageDelete: { method: 'DELETE', path: `${w}/images/:reference`, response: none },

  activityList: { method: 'GET', path: `${w}/activities`, query: pageQuery, response: pageOf(activityBody) },
  activityGet: { method: 'GET', path: `${w}/activities/:id`, response: activityBody },
  activityLog: { method: 'GET', path: `${w}/activities/:id/log`, query: activityLogQuery, response: activityLog },
  activityCancel: { method: 'POST', path: `${w}/activities/:id/cancel`, response: activityBody },

  events: { method: 'GET', path: `${w}/events`, response: none },

  trustGet: { method: 'GET', path: `${w}/trust`, response: trustBody },
  trustVersions: { method: 'GET', path: `${w}/trust/versions`, query: trustVersionsQuery, response: trustVersionsBody },
  trustPublish: { method: 'POST', path: `${w}/trust`, body: trustCreate, response: trustCreated },
  directorRotate: {
    method: 'POST',
    path: '/v1/rotations/director',
    body: rotationStep,
    response: directorRotationBody,
  },
  authorityRotate: {
    method: 'POST',
    path: '/v1/rotations/authority',
    body: rotationStep,
    response: authorityRotationBody,
  },

  enrolmentTokenCreate: {
    method: 'POST',
    path: `${w}/enrolment-tokens`,
    body: enrolmentTokenCreate,
    response: enrolmentTokenBody,
  },
  deviceList: { method: 'GET', path: `${w}/devices`, query: where, response: pageOf(deviceBody) },
  deviceCount: {
    method: 'GET',
    path: `${w}/device-count`,
    query: z.object({ where: z.string() }),
    response: deviceCount,
  },
  deviceFleets: {
    method: 'GET',
    path: `${w}/devices/:device/fleets`,
    query: pageQuery,
    response: pageOf(fleetBody),
  },
  releaseList: { method: 'GET', path: `${w}/releases`, query: named, response: pageOf(releaseBody) },
  releaseCreate: { method: 'POST', path: `${w}/releases`, body: releaseCreate, response: releaseCreated },
  releaseGet: { method: 'GET', path: `${w}/releases/:release`, response: releaseBody },
  releaseDelete: { method: 'DELETE', path: `${w}/releases/:release`, response: none },
  releaseChanges: {
    method: 'GET',
    path: `${w}/devices/:device/release-changes`,
    query: releaseDeploy,
    response: releaseChanges,
  },
  releaseDeploy: {
    method: 'PUT',
    path: `${w}/devices/:device/release`,
    body: releaseDeploy,
    response: releaseDeployed,
  },
  ...alertRoutes,
  ...commandRoutes,
  ...dataRoutes,
  ...endpointRoutes,
  ...layerRoutes,
  freezeList: { method: 'GET', path: `${w}/freezes`, query: pageQuery, response: pageOf(freezeBody) },
  freezeCreate: { method: 'POST', path: `${w}/freezes`, body: freezeCreate, response: freezeBody },
  freezeDelete: { method: 'DELETE', path: `${w}/freezes/:freeze`, response: none },
  rolloutScheduleList: {
    method: 'GET',
    path: `${w}/rollout-schedules`,
    query: pageQuery,
    response: pageOf(rolloutScheduleBody),
  },
  rolloutScheduleCreate: {
    method: 'POST',
    path: `${w}/rollout-schedules`,
    body: rolloutScheduleCreate,
    response: rolloutScheduleBody,
  },
  rolloutScheduleCancel: { method: 'DELETE', path: `${w}/rollout-schedules/:schedule`, response: none },
  rolloutPlan: { method: 'POST', path: `${w}/rollout-plan`, body: rolloutPlan, response: rolloutPlanned },
  rolloutStart: { method: 'POST', path: `${w}/rollouts`, body: rolloutStart, response: rolloutBody },
  rolloutList: { method: 'GET', path: `${w}/rollouts`, query: pageQuery, response: pageOf(rolloutBody) },
  rolloutGet: { method: 'GET', path: `${w}/rollouts/:rollout`, response: rolloutBody },
  rolloutWaits: { method: 'GET', path: `${w}/rollouts/:rollout/waits`, response: rolloutWaits },
  rolloutGates: { method: 'GET', path: `${w}/rollouts/:rollout/gates`, response: rolloutGates },
  rolloutHistory: {
    method: 'GET',
    path: `${w}/rollouts/:rollout/history`,
    query: pageQuery,
    response: pageOf(historyBody),
  },
  rolloutOrder: { method: 'POST', path: `${w}/rollouts/:rollout/orders`, body: rolloutOrder, response: rolloutBody },
  fleetList: { method: 'GET', path: `${w}/fleets`, query: pageQuery, response: pageOf(fleetBody) },
  fleetCreate: { method: 'POST', path: `${w}/fleets`, body: fleetCreate, response: fleetCounted },
  fleetGet: { method: 'GET', path: `${w}/fleets/:fleet`, response: fleetCounted },
  fleetPatch: { method: 'PATCH', path: `${w}/fleets/:fleet`, body: fleetPatch, response: fleetCounted },
  fleetDelete: { method: 'DELETE', path: `${w}/fleets/:fleet`, response: none },
  fleetMembers: { method: 'GET', path: `${w}/fleets/:fleet/members`, query: pageQuery, response: pageOf(deviceBody) },
  deviceGet: { method: 'GET', path: `${w}/devices/:device`, response: deviceBody },
  devicePatch: { method: 'PATCH', path: `${w}/devices/:device`, body: devicePatch, response: deviceBody },
  deviceRetire: { method: 'POST', path: `${w}/devices/:device/retire`, response: deviceBody },
  deviceCertificates: { method: 'GET', path: `${w}/devices/:device/certificates`, response: certificatesBody },
  deviceCertificatesRevoke: {
    method: 'POST',
    path: `${w}/devices/:device/certificates/revoke`,
    body: certificatesRevoke,
    response: certificatesRevoked,
  },
  deviceReplace: {
    method: 'POST',
    path: `${w}/devices/:device/replacement-tokens`,
    body: replacementCreate,
    response: enrolmentTokenBody,
  },
  claimList: { method: 'GET', path: `${w}/fleet-claims`, query: pageQuery, response: pageOf(claimBody) },
  claimCreate: { method: 'POST', path: `${w}/fleet-claims`, body: claimCreate, response: enrolmentTokenBody },
  claimRevoke: {
    method: 'POST',
    path: `${w}/fleet-claims/:claim/revoke`,
    response: z.object({ name: nameSchema, revokedAt: z.string() }),
  },
  claimRequests: {
    method: 'GET',
    path: `${w}/fleet-claims/:claim/requests`,
    query: claimRequestQuery,
    response: claimRequestsBody,
  },
  claimDecide: {
    method: 'POST',
    path: `${w}/fleet-claims/:claim/decisions`,
    body: claimDecision,
    response: claimDecided,
  },
  deviceEvents: {
    method: 'GET',
    path: `${w}/devices/:device/events`,
    query: pageQuery,
    response: pageOf(eventBody),
  },
  telemetrySeries: { method: 'GET', path: `${w}/telemetry`, query: seriesQuery, response: seriesBody },
  deviceTelemetry: {
    method: 'GET',
    path: `${w}/devices/:device/telemetry`,
    query: telemetryQuery,
    response: telemetryBody,
  },
  deviceCommand: {
    method: 'POST',
    path: `${w}/devices/:device/commands`,
    body: commandCreate,
    response: commandBody,
  },
  modulesPost: {
    method: 'POST',
    path: `${w}/devices/:device/modules`,
    body: modulesDeploy,
    response: generationBody,
  },
  modulePut: {
    method: 'PUT',
    path: `${w}/devices/:device/modules/:module`,
    body: moduleDeploy,
    response: generationBody,
  },
  shadowPut: {
    method: 'PUT',
    path: `${w}/devices/:device/modules/:module/shadow`,
    body: shadowDeploy,
    response: generationBody,
  },
  shadowDelete: {
    method: 'DELETE',
    path: `${w}/devices/:device/modules/:module/shadow`,
    response: generationBody,
  },
  moduleDelete: { method: 'DELETE', path: `${w}/devices/:device/modules/:module`, response: generationBody },
} as const satisfies Record<string, Route>;

/** The path with its parameters filled in, each escaped. */
export function fillPath(path: string, params: Readonly<Record<string, string>>): string {
  return path
    .split('/')
    .map((part) => {
      if (!part.startsWith(':')) return part;
      const value = params[part.slice(1)];
      if (value === undefined) throw new Error(`route ${path}: no value for ${part}`);
      return encodeURIComponent(value);
    })
    .join('/');
}
