/** What an endpoint takes and gives, for those who call it. */
import { describeImage, speaksFor } from '#cloud/services/openapi/endpoint-api.js';
import { endpointDocument } from '#cloud/services/openapi/endpoint-document.js';
import type { EndpointRepository } from '#cloud/services/control/endpoint-repository.js';
import type { ServiceDeploymentRepository } from '#cloud/services/control/service-deployment-repository.js';
import type { ServiceHostDoor } from '#cloud/services/control/services-publisher.js';
import type { BlobStore } from '#cloud/store/blob-store.js';
import type { Routes } from '../app.js';
import { endpointOpenApiBody, endpointOpenApiQuery } from '../schemas/endpoint-openapi.js';
import { endpointParams, endpointsPath } from './endpoint-routes.js';

export interface EndpointOpenApiRouteDeps {
  readonly endpoints: EndpointRepository;
  readonly deployments: ServiceDeploymentRepository;
  readonly door: ServiceHostDoor;
  readonly store: BlobStore;
  /** By which callers reach the endpoints, where that is not where the service host listens. */
  readonly advertiseUrl?: string | undefined;
}

export function endpointOpenApiRoutes(deps: EndpointOpenApiRouteDeps): Routes {
  const { endpoints, deployments, door, store, advertiseUrl } = deps;
  /** Empty while no service host says where it is: the document is right all the same. */
  const origin = async (): Promise<string> => {
    const status = await door
      .running()
      .then((host) => host?.status())
      .catch(() => undefined);
    return (advertiseUrl ?? status?.url ?? '').replace(/\/+$/, '');
  };
  return (app) => {
    app.get(
      `${endpointsPath}/:endpoint/openapi`,
      {
        config: { role: 'reader' },
        schema: {
          tags: ['endpoints'],
          summary: 'OpenAPI 3.1 of an endpoint, from the model of the deployment with most traffic',
          params: endpointParams,
          querystring: endpointOpenApiQuery,
          response: { 200: endpointOpenApiBody },
        },
      },
      async (request) => {
        const { workspace, endpoint: name } = request.params;
        const endpoint = await endpoints.require(workspace, name);
        const found = await deployments.current(endpoint.id);
        const { name: deployment, image } = speaksFor(endpoint, found, request.query.deployment);
        const document = endpointDocument({
          ...{ name, auth: endpoint.auth, deployment, model: image.name, version: image.version },
          url: `${await origin()}/endpoints/${workspace}/${name}`,
          described: await describeImage(store, image.digest),
        });
        return { ...document };
      },
    );
  };
}
