/**
 * The control plane, wired. Order matters: lock, databases, registry, fleet, web services, API last, so that nothing is reachable
 * before it works; {@link Shutdown} undoes it in reverse. Each step constructs its own in `wiring/`.
 */
import type { Logger } from '#shared/platform/logger.js';
import type { CloudConfig } from './config.js';
import { Shutdown } from './lifecycle/shutdown.js';
import { openApi } from './wiring/api-wiring.js';
import { wireData } from './wiring/data-wiring.js';
import { type FleetPart, wireFleet } from './wiring/fleet-wiring.js';
import { layGround } from './wiring/ground.js';
import { wireRegistry } from './wiring/registry-wiring.js';
import { openServiceDoor } from './wiring/service-door.js';
import { serviceActivities, type ServicePart, wireServices } from './wiring/service-wiring.js';
import { openTelemetry } from './wiring/telemetry-wiring.js';

export interface CloudAddresses {
  /** Base URL of the operator API. */
  readonly http: string;
  /** Where devices enrol, and the broker, as devices are told. */
  readonly gateway: string;
  readonly broker: string;
}

export interface RunningCloud {
  readonly addresses: CloudAddresses;
  /** SHA-256 of the authority that devices and the command line pin, hex. */
  readonly authority: string;
  /** The owner token, at the first start of a data folder only; it is stored nowhere. */
  readonly ownerToken: string | undefined;
  /** Takes no new requests, ends those under way, and leaves the data folder ready for the next start. */
  stop(): Promise<void>;
}

export async function startCloud(config: CloudConfig, logger: Logger, version: string): Promise<RunningCloud> {
  const shutdown = new Shutdown(logger);
  try {
    const ground = await layGround(config, logger, shutdown);
    const telemetry = await openTelemetry(ground);
    const door = openServiceDoor(ground, version);
    let fleet: FleetPart | undefined;
    let services: ServicePart | undefined;
    const imagesSigned = (): void => {
      fleet?.imagesSigned();
      services?.imagesSigned();
    };
    const registry = await wireRegistry(ground, telemetry, imagesSigned, serviceActivities(ground, door));
    fleet = await wireFleet(ground, version, telemetry);
    services = await wireServices(ground, { door, runner: registry.runner, identity: fleet.identity, telemetry });
    const parts = [registry, fleet, services, wireData(ground)];
    const api = await openApi(ground, version, parts, fleet.identity);
    return {
      addresses: { http: api.url, ...fleet.addresses },
      authority: fleet.identity.current.authorityFingerprint,
      ownerToken: api.ownerToken,
      stop: () => shutdown.run(),
    };
  } catch (error) {
    await shutdown.run();
    throw error;
  }
}
