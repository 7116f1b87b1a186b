/** Endpoints and deployments as the API tells of them. Pure. */
import type { DeploymentBody, EndpointBody, EndpointStatusBody } from '#cloud/http/schemas/endpoints.js';
import type { ServicesStatus } from '../services-status.js';
import type { Endpoint, ServiceDeployment } from './endpoint-model.js';

export function toEndpointBody(endpoint: Endpoint): EndpointBody {
  const { keyVersions: _versions, createdBy: _by, traffic, mirror, ...rest } = endpoint;
  return { ...rest, traffic: { ...traffic }, ...(mirror === undefined ? {} : { mirror: { ...mirror } }) };
}

export function toDeploymentBody(endpoint: Endpoint, deployment: ServiceDeployment): DeploymentBody {
  const { id, name, revision, image, settings, service, generation, createdAt } = deployment;
  const { traffic, mirror } = endpoint;
  return {
    ...{
      id,
      kind: 'web-service',
      endpoint: endpoint.name,
      name,
      revision,
      settings,
      ...service,
      generation,
      createdAt,
    },
    image: { name: image.name, version: image.version, digest: image.digest },
    traffic: traffic[name] ?? 0,
    mirror: mirror?.deployment === name ? mirror.percent : 0,
  };
}

/**
 * @param status undefined: no service host runs
 * @param advertiseUrl by which callers reach it, where that is not where it listens
 */
export function toStatusBody(
  { id, workspace, name }: Endpoint,
  generation: number,
  status: ServicesStatus | undefined,
  advertiseUrl?: string,
): EndpointStatusBody {
  if (status === undefined) return { generation, deployments: [] };
  const { generation: served, endpoints, sandbox } = status;
  const url = advertiseUrl ?? status.url;
  const scoreUrl = `${url.replace(/\/+$/, '')}/endpoints/${workspace}/${name}/score`;
  const deployments = endpoints.find((one) => one.id === id)?.deployments ?? [];
  return { url, scoreUrl, generation, served, ...(sandbox === undefined ? {} : { sandbox }), deployments };
}
