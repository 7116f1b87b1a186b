/** From what there is to what a file of Azure ML v2 says: only what differs. Pure. */
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { CallInput } from '#cloud/client/routes.js';
import type { routes } from '#cloud/client/routes.js';
import type { DeploymentBody, EndpointBody } from '#cloud/http/schemas/endpoints.js';
import type { AzureDeployment } from './azure-deployment.js';
import type { AzureEndpoint } from './azure-endpoint.js';

export type EndpointPatch = CallInput<typeof routes.endpointPatch>['body'];
export type TrafficChange = CallInput<typeof routes.endpointTraffic>['body'];
export type DeploymentPatch = CallInput<typeof routes.deploymentPatch>['body'];

/** Undefined: nothing differs. */
export function endpointPatch(present: EndpointBody, wanted: AzureEndpoint): EndpointPatch | undefined {
  const { auth, description, tags } = wanted;
  return changed<EndpointPatch>(present, { auth, description, tags });
}

/** Undefined: it is so, or the file says nothing of it. */
export function trafficChange(present: EndpointBody | undefined, wanted: AzureEndpoint): TrafficChange | undefined {
  const live = Object.entries(wanted.traffic ?? {}).filter(([, percent]) => percent > 0);
  const traffic = wanted.traffic === undefined ? undefined : Object.fromEntries(live);
  const now = { traffic: present?.traffic ?? {}, mirror: present?.mirror ?? null };
  return changed<TrafficChange>(now, { traffic, mirror: wanted.mirror });
}

/** @param digest of the image that it is to run. @returns undefined: nothing differs */
export function deploymentPatch(
  present: DeploymentBody,
  wanted: AzureDeployment,
  digest: string,
): DeploymentPatch | undefined {
  const { scale, request, liveness, readiness, description, tags } = wanted;
  const { redact, maxBytes } = present.collect ?? {};
  // Files of Azure cannot say what is to be left out: what was said here stays.
  const kept = { ...(redact && { redact }), ...(maxBytes && { maxBytes }) };
  const collect = wanted.collect && { ...wanted.collect, ...kept };
  const now = { ...present, image: present.image.digest };
  return changed<DeploymentPatch>(now, {
    image: digest,
    scale,
    request,
    liveness,
    readiness,
    collect,
    description,
    tags,
  });
}

/** The fields that are said and are not so. */
function changed<T extends object>(present: object, wanted: T): T | undefined {
  const now = new Map(Object.entries(present));
  const differing = Object.entries(wanted).filter(
    ([field, value]) => value !== undefined && canonicalJson(value) !== canonicalJson(now.get(field) ?? null),
  );
  return differing.length === 0 ? undefined : (Object.fromEntries(differing) as T);
}
