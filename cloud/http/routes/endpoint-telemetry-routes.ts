import type { Clock } from '#shared/kernel/clock.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import type { EndpointRepository } from '#cloud/services/control/endpoint-repository.js';
import type { ServiceDeploymentRepository } from '#cloud/services/control/service-deployment-repository.js';
import { requireDeployment } from '#cloud/services/control/traffic.js';
import { sourceOf } from '#cloud/services/service-source.js';
import { askTelemetry } from '#cloud/telemetry/telemetry-body.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import type { Routes } from '../app.js';
import { telemetryBody, telemetryQuery } from '../schemas/telemetry.js';
import { endpointParams, endpointsPath } from './endpoint-routes.js';

export interface EndpointTelemetryRouteDeps {
  readonly endpoints: EndpointRepository;
  readonly deployments: ServiceDeploymentRepository;
  readonly telemetry: Pick<TelemetryPort, 'telemetry'>;
  readonly clock: Clock;
}

export function endpointTelemetryRoutes(deps: EndpointTelemetryRouteDeps): Routes {
  const { endpoints, deployments, telemetry, clock } = deps;
  return (app) => {
    app.get(
      `${endpointsPath}/:endpoint/deployments/:deployment/telemetry`,
      {
        config: { role: 'reader' },
        schema: {
          tags: ['telemetry'],
          summary:
            'What a deployment did over a span that ends now: requests as the front saw them, and what it runs inside',
          params: endpointParams.extend({ deployment: nameSchema }),
          querystring: telemetryQuery,
          response: { 200: telemetryBody },
        },
      },
      async (request) => {
        const { workspace, endpoint: name, deployment } = request.params;
        const device = sourceOf(name, deployment);
        const body = await askTelemetry(telemetry, clock, { workspace, device, ...request.query });
        // One that was deleted is told of for as long as its numbers are kept.
        if (body.batches > 0) return body;
        const endpoint = await endpoints.require(workspace, name);
        const names = (await deployments.current(endpoint.id)).map((one) => one.name);
        requireDeployment(name, deployment, names);
        return body;
      },
    );
  };
}
