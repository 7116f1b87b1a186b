/** Devices: who they are, what they should run, what they say, and the broker and gateway between. */
import { randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { BackgroundTasks } from '#cloud/fleet/background-tasks.js';
import { CollectionRepository } from '#cloud/fleet/collection-repository.js';
import { CollectionTwin } from '#cloud/fleet/collection-twin.js';
import { CommandChannel } from '#cloud/fleet/command-channel.js';
import { CommandService } from '#cloud/fleet/command-service.js';
import { DeploymentRepository } from '#cloud/fleet/deployment-repository.js';
import { DeviceFacts } from '#cloud/fleet/device-facts.js';
import { DeviceMessages } from '#cloud/fleet/device-messages.js';
import { DeviceRepository } from '#cloud/fleet/device-repository.js';
import { DeviceSearch } from '#cloud/fleet/device-search.js';
import type { Enrolment } from '#cloud/fleet/enrolment.js';
import { FleetRepository } from '#cloud/fleet/fleet-repository.js';
import { KnownDevices } from '#cloud/fleet/known-devices.js';
import { LayerOffice } from '#cloud/fleet/layers/layer-office.js';
import { OutboxDrain } from '#cloud/fleet/outbox-drain.js';
import { OutboxRepository } from '#cloud/fleet/outbox-repository.js';
import { ReleaseRepository } from '#cloud/fleet/release-repository.js';
import { Retirement } from '#cloud/fleet/retirement.js';
import { checkDeviceRoutes } from '#cloud/fleet/route-check.js';
import { ModuleManifests } from '#cloud/registry/module-manifests.js';
import { ShadowTwin } from '#cloud/fleet/shadow-twin.js';
import { Tagging } from '#cloud/fleet/tagging.js';
import { Twin } from '#cloud/fleet/twin.js';
import { TwinIngest } from '#cloud/fleet/twin-ingest.js';
import { createGateway, type GatewayTls, replaceGatewayTls } from '#cloud/gateway/gateway.js';
import { type GatewayRouteDeps, gatewayRoutes } from '#cloud/gateway/gateway-routes.js';
import { bindError } from '#cloud/http/listen.js';
import { deviceCertificatesRoutes } from '#cloud/http/routes/device-certificates-routes.js';
import { deviceCollectRoutes } from '#cloud/http/routes/device-collect-routes.js';
import { deviceCommandsRoutes } from '#cloud/http/routes/device-commands-routes.js';
import { deviceEventsRoutes } from '#cloud/http/routes/device-events-routes.js';
import { deviceModulesRoutes } from '#cloud/http/routes/device-modules-routes.js';
import { deviceRoutes } from '#cloud/http/routes/device-routes.js';
import { deviceTelemetryRoutes } from '#cloud/http/routes/device-telemetry-routes.js';
import { type EnrolmentTokensRouteDeps, enrolmentTokensRoutes } from '#cloud/http/routes/enrolment-tokens-routes.js';
import { fleetClaimsRoutes } from '#cloud/http/routes/fleet-claims-routes.js';
import { fleetRoutes } from '#cloud/http/routes/fleet-routes.js';
import { layerRoutes } from '#cloud/http/routes/layer-routes.js';
import { releaseRoutes } from '#cloud/http/routes/release-routes.js';
import { telemetryRoutes } from '#cloud/http/routes/telemetry-routes.js';
import { serverRoutes } from '#cloud/http/routes/server-routes.js';
import { startRecurring } from '#cloud/lifecycle/recurring.js';
import { BlockAllowance } from '#cloud/mqtt/block-allowance.js';
import { BlockServer } from '#cloud/mqtt/block-server.js';
import { DataIngest } from '#cloud/storage/data-ingest.js';
import { TelemetryIngest } from '#cloud/telemetry/telemetry-ingest.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import type { DirectorKeys } from '#cloud/trust/director-keys.js';
import type { LivingIdentity } from '#cloud/trust/living-identity.js';
import { reachableHost, wireBroker, type WiredBroker } from './broker-wiring.js';
import type { Ground, Part } from './ground.js';
import { wireAlerts } from './alert-wiring.js';
import { wireCommands } from './command-wiring.js';
import { wireEnrolment } from './enrolment-wiring.js';
import { openIdentity } from './identity-wiring.js';
import { wireRollouts } from './rollout-wiring.js';
import { wireSchedules } from './schedule-wiring.js';
import { keepTelemetry } from './telemetry-wiring.js';
import { openDirector, type WiredTrust, wireTrust } from './trust-wiring.js';

export interface FleetPart extends Part {
  /** Images have signatures that they did not have before. */
  imagesSigned(): void;
  readonly identity: LivingIdentity;
  readonly addresses: { readonly gateway: string; readonly broker: string };
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const outboxRetryMs = 1_000;
const renewalsPerStep = 200;

export async function wireFleet(ground: Ground, version: string, telemetry: TelemetryPort): Promise<FleetPart> {
  const { logger, clock, shutdown, control, live, metrics } = ground;
  const identity = await openIdentity(ground);
  const director = await openDirector(ground, identity.current);
  const devices = new DeviceRepository(control);
  const deployments = new DeploymentRepository(control);
  const outboxRows = new OutboxRepository(control);
  const known = new KnownDevices(await devices.listEnrolled());
  await devices.markAllOffline();
  await new DeviceFacts(control).bringUpToDate();
  const search = new DeviceSearch(control);

  const wired = await wireBroker(ground, devices, identity);
  const { broker, access } = wired;
  const { enrolment, renewal, revocation, claims, office } = wireEnrolment(ground, identity, { access, known });
  const tasks = new BackgroundTasks(logger);
  const ignored = metrics.counter(
    'flotilla_messages_ignored_total',
    'Messages from devices that were not used, by reason.',
  );
  const outbox = new OutboxDrain({ outbox: outboxRows, broker, clock, logger, retryMs: outboxRetryMs });
  const onCommitted = (): void => outbox.wake();
  const manifests = new ModuleManifests(ground.store);
  const twin = new Twin({
    db: control,
    devices,
    deployments,
    outbox: outboxRows,
    director,
    clock,
    newId: randomUUID,
    live,
    checkRoutes: (modules) => checkDeviceRoutes(modules, (image) => manifests.of(image)),
    onCommitted,
  });
  const trust = wireTrust(ground, { identity, director, devices, outbox: outboxRows, twin, onCommitted });
  const ingest = new TwinIngest({
    db: control,
    devices,
    broker,
    live,
    clock,
    logger,
    tasks,
    ignored,
    onOvertaken: (address, generation) => twin.reissue(address, generation),
    onCertificateUsed: (address, serial) => revocation.supersede(address, serial),
  });
  const alerts = await wireAlerts(ground, telemetry);
  const telemetryIngest = new TelemetryIngest({
    store: telemetry,
    broker,
    live,
    clock,
    logger,
    tasks,
    batches: metrics.counter('flotilla_telemetry_batches_total', 'Telemetry and event batches, by outcome.'),
    onEvents: () => alerts.eventsCame(),
  });
  const data = new DataIngest({
    ...{ storage: ground.storage, broker, clock, logger, tasks },
    ruleOf: (address, module) => new CollectionRepository(control).of(address, module),
    batches: metrics.counter('flotilla_collected_batches_total', 'Batches of collected data from devices, by outcome.'),
  });
  const channel = new CommandChannel({ broker, director, clock, ignored });
  const allowance = new BlockAllowance(devices, deployments);
  const blocks = new BlockServer({
    broker,
    storage: ground.store,
    allowanceOf: (address) => allowance.of(address),
    logger,
    ignored,
    served: metrics.counter('flotilla_block_bytes_total', 'Bytes of images sent to devices over the broker.'),
  });
  const messages = new DeviceMessages({
    broker,
    known,
    twin,
    ingest,
    telemetry: telemetryIngest,
    data,
    commands: channel,
    blocks,
    trust: trust.publishing,
    tasks,
    ignored,
  });
  broker.onMessage((topic, payload) => messages.handle(topic, payload));
  shutdown.add('messages under way', async () => {
    await Promise.all([ingest.idle(), telemetryIngest.idle(), data.idle(), blocks.close()]);
    await tasks.idle();
  });
  await broker.open();
  shutdown.add('broker', () => broker.close());
  trust.upkeep.wake();
  outbox.wake();
  shutdown.add('outbox', () => outbox.stop());

  const told = (): ReturnType<EnrolmentTokensRouteDeps['trust']> => ({
    gatewayUrl,
    authority: identity.current.authorityFingerprint,
    director: director.current.publicKey,
  });
  const devicesAsk: GatewayRouteDeps = { clock, enrolment, renewal, trust: () => toldAtEnrolment(director, wired) };
  const gatewayUrl = await openGateway(ground, identity, devicesAsk, wired);
  keepUp(ground, twin, trust, enrolment);
  await keepTelemetry(ground, telemetry, version);
  addGauges(ground, wired, devices, outboxRows);

  const shadows = new ShadowTwin({ db: control, twin, clock, onCommitted });
  const releases = new ReleaseRepository(control);
  const fleets = new FleetRepository(control);
  const rollouts = wireRollouts(ground, { twin, shadows, releases, fleets, telemetry, onCommitted });
  const manyCommands = wireCommands(ground, channel);
  const schedules = wireSchedules(ground, [rollouts.scheduled, manyCommands.scheduled]);
  const tagging = new Tagging({ db: control, twin, onCommitted });
  const retirement = new Retirement({ twin, known, access, live });
  return {
    identity,
    addresses: { gateway: gatewayUrl, broker: wired.url() },
    imagesSigned: () => trust.upkeep.wake(),
    upgrades: wired.upgrades,
    routes: [
      // Here too, for sites where one port is all that leaves.
      gatewayRoutes(devicesAsk),
      serverRoutes({ server: () => ({ version, ...told(), brokerUrl: wired.url() }) }),
      enrolmentTokensRoutes({ enrolment, trust: told }),
      deviceCertificatesRoutes({ revocation, enrolment, clock, trust: told }),
      fleetClaimsRoutes({ claims, office, clock, trust: told }),
      deviceRoutes({ devices, deployments, search, retirement, tagging, live }),
      fleetRoutes({ fleets, devices, deployments, search, clock }),
      deviceModulesRoutes({ twin, shadows }),
      deviceCollectRoutes({ collections: new CollectionTwin({ db: control, twin, clock, onCommitted }) }),
      releaseRoutes({ releases, twin, clock }),
      layerRoutes({ db: control, office: new LayerOffice({ db: control, twin, clock, onCommitted }) }),
      ...rollouts.routes,
      deviceTelemetryRoutes({ devices, telemetry, clock }),
      telemetryRoutes({ telemetry, clock }),
      alerts.routes,
      deviceEventsRoutes({ devices, telemetry }),
      deviceCommandsRoutes({ commands: new CommandService({ devices, channel, clock, newId: randomUUID }) }),
      manyCommands.routes,
      ...schedules,
      trust.routes,
    ],
    checks: [
      {
        name: 'broker',
        check: async () => {
          if (!broker.isConnected()) throw new AppError('broker.unreachable', `no connection to ${wired.url()}`);
        },
      },
    ],
  };
}

function toldAtEnrolment(director: DirectorKeys, wired: WiredBroker): ReturnType<GatewayRouteDeps['trust']> {
  const { authority } = wired;
  return {
    director: director.current.publicKey,
    broker: { url: wired.url(), serverName: wired.serverName, ...(authority === undefined ? {} : { authority }) },
  };
}

/** @returns the URL by which devices reach it */
async function openGateway(
  { config, logger, shutdown }: Ground,
  identity: LivingIdentity,
  deps: GatewayRouteDeps,
  wired: WiredBroker,
): Promise<string> {
  const tls = (): GatewayTls => ({ ...identity.current.server, authorities: identity.current.authorities });
  const gateway = await createGateway({
    logger: logger.child({ part: 'gateway' }),
    ...tls(),
    upgrades: wired.upgrades,
    ...deps,
  });
  identity.onChanged(async () => replaceGatewayTls(gateway, tls()));
  shutdown.add('gateway', () => gateway.close());
  const { host, port, advertiseUrl } = config.gateway;
  try {
    await gateway.listen({
      host,
      port,
      listenTextResolver: (address) => `device gateway listening at ${address.replace('http:', 'https:')}`,
    });
  } catch (error) {
    throw bindError(error, { host, port }, 'gateway.port (--gateway-port)');
  }
  const address: AddressInfo | string | null = gateway.server.address();
  const bound = typeof address === 'object' && address !== null ? address.port : port;
  return advertiseUrl ?? `https://${reachableHost(host)}:${String(bound)}`;
}

/** What time asks for: documents renewed before they expire, ended tokens removed. */
function keepUp({ clock, logger, shutdown }: Ground, twin: Twin, trust: WiredTrust, enrolment: Enrolment): void {
  const run = async (): Promise<void> => {
    while ((await twin.renewExpiring(renewalsPerStep)) > 0);
    trust.upkeep.wake();
    await enrolment.tokens.removeEnded(toInstant(clock.now() - 30 * dayMs));
  };
  shutdown.add('fleet upkeep', startRecurring({ name: 'fleet upkeep', everyMs: hourMs, run }, clock, logger));
}

function addGauges({ metrics }: Ground, wired: WiredBroker, devices: DeviceRepository, outbox: OutboxRepository): void {
  metrics.gauge('flotilla_devices_online', 'Devices whose presence says that they are there.', async () => [
    { value: await devices.countOnline() },
  ]);
  metrics.gauge('flotilla_outbox_rows', 'Messages that the broker has not accepted yet.', async () => [
    { value: await outbox.count() },
  ]);
  metrics.gauge('flotilla_broker_connections', 'Clients of the embedded broker.', () => {
    const load = wired.load();
    return load === undefined ? [] : [{ value: load.connections }];
  });
  metrics.gauge('flotilla_broker_waiting_bytes', 'Bytes in the embedded broker for clients that read slowly.', () => {
    const load = wired.load();
    return load === undefined ? [] : [{ value: load.waitingBytes }];
  });
}
