/** From rows to the document by which the service host works. Pure. */
import { toInstant } from '#shared/kernel/clock.js';
import {
  type DesiredEndpoint,
  type DesiredServices,
  desiredServicesSchema,
  type EndpointAuth,
} from '../desired-services.js';
import type { Endpoint, ServiceDeployment } from './endpoint-model.js';

export interface ServicesInput {
  readonly generation: number;
  readonly nowMs: number;
  readonly endpoints: readonly Endpoint[];
  readonly deployments: readonly ServiceDeployment[];
  /** Of an endpoint, without any secret. */
  readonly auth: (endpoint: Endpoint) => EndpointAuth;
}

/** The same for the same rows, in whatever order they come. */
export function composeServices(input: ServicesInput): DesiredServices {
  const { generation, nowMs, endpoints, deployments, auth } = input;
  return desiredServicesSchema.parse({
    schema: 1,
    generation,
    issuedAt: toInstant(nowMs),
    endpoints: sortedBy(endpoints, ({ id }) => id).map((endpoint) => {
      const own = deployments.filter((one) => one.endpoint === endpoint.id);
      return desiredEndpoint(endpoint, own, auth(endpoint));
    }),
  });
}

function desiredEndpoint(
  { id, workspace, name, traffic, mirror }: Endpoint,
  deployments: readonly ServiceDeployment[],
  auth: EndpointAuth,
): DesiredEndpoint {
  return {
    ...{ id, workspace, name, auth, traffic },
    ...(mirror === undefined ? {} : { mirror }),
    deployments: sortedBy(deployments, (one) => one.name).map(
      ({ name: called, revision, image, settings, service }) => {
        const { scale, request, liveness, readiness, collect } = service;
        const collected = collect ? { collect } : {};
        return { name: called, revision, image, settings, scale, request, liveness, readiness, ...collected };
      },
    ),
  };
}

function sortedBy<T>(items: readonly T[], key: (item: T) => string): T[] {
  return [...items].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}
