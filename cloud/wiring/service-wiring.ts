/** Web services, the control plane's side: endpoints and what runs behind them, and the way to their service host. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import type { Family } from '#shared/platform/exposition.js';
import type { ActivityKind, ActivityRunner } from '#cloud/activities/activity-runner.js';
import { compareRoutes } from '#cloud/http/routes/compare-routes.js';
import { endpointAccessRoutes } from '#cloud/http/routes/endpoint-access-routes.js';
import { endpointDeploymentRoutes } from '#cloud/http/routes/endpoint-deployment-routes.js';
import { endpointOpenApiRoutes } from '#cloud/http/routes/endpoint-openapi-routes.js';
import { endpointTelemetryRoutes } from '#cloud/http/routes/endpoint-telemetry-routes.js';
import { endpointRoutes } from '#cloud/http/routes/endpoint-routes.js';
import { placedDeploymentRoutes } from '#cloud/http/routes/placed-deployment-routes.js';
import { ReleaseRepository } from '#cloud/fleet/release-repository.js';
import { startRecurring } from '#cloud/lifecycle/recurring.js';
import { ModuleManifests } from '#cloud/registry/module-manifests.js';
import { CollectedPull } from '#cloud/services/control/collected-pull.js';
import { deploymentActivities } from '#cloud/services/control/deployment-activity.js';
import { DeploymentOffice } from '#cloud/services/control/deployment-office.js';
import { EndpointKeys } from '#cloud/services/control/endpoint-keys.js';
import { EndpointOffice } from '#cloud/services/control/endpoint-office.js';
import { EndpointRepository } from '#cloud/services/control/endpoint-repository.js';
import { ensureEndpointSecret } from '#cloud/services/control/endpoint-secret.js';
import { PlacedDeployments } from '#cloud/services/control/placed-deployments.js';
import { ServableImages } from '#cloud/services/control/servable-image.js';
import { ServiceDeploymentRepository } from '#cloud/services/control/service-deployment-repository.js';
import { ServicesDocument } from '#cloud/services/control/services-document.js';
import { type ServiceHostDoor, ServicesPublisher } from '#cloud/services/control/services-publisher.js';
import { TelemetryPull } from '#cloud/services/control/telemetry-pull.js';
import { TrustHandover } from '#cloud/services/control/trust-handover.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import type { LivingIdentity } from '#cloud/trust/living-identity.js';
import { TrustChain } from '#cloud/trust/trust-chain.js';
import type { Ground, Part } from './ground.js';
import { keysFolder } from './identity-wiring.js';
import { wireShifts } from './shift-wiring.js';

export interface ServicePart extends Part {
  /** Images have signatures that they did not have before. */
  imagesSigned(): void;
}

export interface ServiceNeeds {
  readonly door: ServiceHostDoor;
  readonly runner: ActivityRunner;
  readonly identity: LivingIdentity;
  readonly telemetry: TelemetryPort;
}

/** How soon it is seen that the service host ended, or that publishers signed something new, and numbers are asked for. */
const lookEveryMs = 5_000;
const fetchEveryMs = 3_000;

/** What the runner of activities must know before it takes up what an earlier process left. */
export function serviceActivities({ control: db, clock }: Ground, door: ServiceHostDoor): ActivityKind[] {
  return deploymentActivities({ db, host: () => door.running(), clock });
}

export async function wireServices(
  ground: Ground,
  { door, runner, identity, telemetry }: ServiceNeeds,
): Promise<ServicePart> {
  const { config, control: db, store, clock, logger, shutdown } = ground;
  const { enabled, maxReplicas, advertiseUrl } = config.services;
  const secret = await ensureEndpointSecret(join(keysFolder(config), 'endpoints.json'), identity.current.seal);
  const keys = await EndpointKeys.of(secret);
  const document = new ServicesDocument({
    ...{ db, clock },
    auth: (endpoint) => keys.auth(endpoint),
    onCommitted: () => {
      publisher.wake();
      shifts.changed();
    },
  });
  const trust = new TrustHandover(new TrustChain(db));
  const pull = new TelemetryPull({ running: () => door.running(), store: telemetry, clock, logger });
  const shifts = wireShifts(ground, { document, door, telemetry, refresh: () => pull.run(), enabled });
  const publisher = new ServicesPublisher({ document, trust, door, clock, random: Math.random, logger });
  if (enabled) {
    await document.bringUpToDate();
    publisher.wake();
    const run = async (): Promise<void> => publisher.look();
    shutdown.add('web services', () => publisher.stop());
    shutdown.add(
      'look at web services',
      startRecurring({ name: 'web services', everyMs: lookEveryMs, run }, clock, logger),
    );
    const task = { name: 'numbers of web services', everyMs: lookEveryMs, run: () => pull.run() };
    shutdown.add(task.name, startRecurring(task, clock, logger));
    ground.metrics.include(() => familiesOf(door));
    keepFetching(ground, door);
  } else await endLeftOver(door, logger);
  const endpoints = new EndpointRepository(db);
  const deployments = new ServiceDeploymentRepository(db);
  const newId = randomUUID;
  const office = new EndpointOffice({ db, document, clock, newId, enabled });
  const images = new ServableImages({ db, store, manifests: new ModuleManifests(store) });
  const placing = new DeploymentOffice({ db, document, images, runner, clock, newId, maxReplicas, enabled });
  return {
    imagesSigned: () => {
      document.bringUpToDate().catch((error: unknown) => {
        logger.error({ err: error }, 'the document of web services was not brought up to date');
      });
    },
    routes: [
      endpointRoutes({ endpoints, office }),
      endpointAccessRoutes({ endpoints, office, keys, clock, newId }),
      endpointDeploymentRoutes({
        ...{ endpoints, deployments, office: placing, door, advertiseUrl },
        releases: new ReleaseRepository(db),
      }),
      placedDeploymentRoutes({ placed: new PlacedDeployments(db) }),
      shifts.routes,
      endpointTelemetryRoutes({ endpoints, deployments, telemetry, clock }),
      compareRoutes({ db, telemetry, clock }),
      endpointOpenApiRoutes({ endpoints, deployments, door, store, advertiseUrl }),
    ],
    checks: [],
  };
}

/** One that an earlier control plane started, where web services are turned off since. */
async function endLeftOver(door: ServiceHostDoor, logger: Ground['logger']): Promise<void> {
  try {
    await door.end();
  } catch (error) {
    logger.warn({ err: error }, 'a service host may be left over, although web services are turned off');
  }
}

/** What replicas collected comes here while there is a service host. */
function keepFetching({ control, storage, clock, logger, metrics, shutdown }: Ground, door: ServiceHostDoor): void {
  const deployments = new ServiceDeploymentRepository(control);
  const pull = new CollectedPull({
    ...{ storage, clock, logger },
    source: () => door.running(),
    ownerOf: (endpoint, deployment) => deployments.collectedBy(endpoint, deployment),
    pieces: metrics.counter(
      'flotilla_collected_pieces_total',
      'Pieces of data that web services collected, by outcome.',
    ),
  });
  const name = 'collected data of web services';
  const run = (): Promise<void> => pull.run();
  shutdown.add(name, startRecurring({ name, everyMs: fetchEveryMs, run }, clock, logger));
}

/** What the front counts; nothing while it is not there. */
async function familiesOf(door: ServiceHostDoor): Promise<readonly Family[]> {
  try {
    return (await (await door.running())?.families()) ?? [];
  } catch (error) {
    if (error instanceof AppError) return [];
    throw error;
  }
}
