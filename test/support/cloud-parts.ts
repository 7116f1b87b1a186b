/** A control plane wired in this process as `startCloud` wires it, with its parts within reach. */
import { pino } from 'pino';
import { loadConfig } from '#cloud/config.js';
import { readVersion } from '#cloud/cli/version.js';
import { Shutdown } from '#cloud/lifecycle/shutdown.js';
import type { ControlStore } from '#cloud/store/control-database.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import { openApi } from '#cloud/wiring/api-wiring.js';
import { wireData } from '#cloud/wiring/data-wiring.js';
import { wireFleet } from '#cloud/wiring/fleet-wiring.js';
import { type Ground, layGround } from '#cloud/wiring/ground.js';
import { wireRegistry } from '#cloud/wiring/registry-wiring.js';
import { openServiceDoor } from '#cloud/wiring/service-door.js';
import { serviceActivities, wireServices } from '#cloud/wiring/service-wiring.js';
import type { ServiceHostDoor } from '#cloud/services/control/services-publisher.js';
import { openTelemetry } from '#cloud/wiring/telemetry-wiring.js';

export interface CloudParts {
  readonly ground: Ground;
  readonly telemetry: TelemetryPort;
  /** Of the API, and a token that may do everything. */
  readonly url: string;
  readonly token: string;
  /** SHA-256 of the authority of its certificates, hex. */
  readonly authority: string;
  readonly door: ServiceHostDoor;
  readonly stop: () => Promise<void>;
}

export interface CloudPartsOptions {
  /** In the place of the usual way to a service host. */
  readonly door?: ServiceHostDoor;
  readonly flags?: Readonly<Record<string, string>>;
}

/** @param wrap what all parts take for the control database */
export async function openCloudParts(
  folder: string,
  wrap: (control: ControlStore) => ControlStore = (control) => control,
  options: CloudPartsOptions = {},
): Promise<CloudParts> {
  const ports = { 'http-port': '0', 'gateway-port': '0', 'broker-port': '0' };
  const flags = { ...ports, 'data-dir': folder, 'http-tls': 'off', ...options.flags };
  const logger = pino({ level: 'silent' });
  const shutdown = new Shutdown(logger);
  try {
    const laid = await layGround(loadConfig({ flags, environment: {} }), logger, shutdown);
    const ground = { ...laid, control: wrap(laid.control) };
    const door = options.door ?? openServiceDoor(ground, await readVersion());
    const telemetry = await openTelemetry(ground);
    const registry = await wireRegistry(ground, telemetry, () => undefined, serviceActivities(ground, door));
    const fleet = await wireFleet(ground, '0.0.0', telemetry);
    const services = await wireServices(ground, { door, runner: registry.runner, identity: fleet.identity, telemetry });
    const parts = [registry, fleet, services, wireData(ground)];
    const { url, ownerToken = '' } = await openApi(ground, '0.0.0', parts, fleet.identity);
    const authority = fleet.identity.current.authorityFingerprint;
    return { ground, telemetry, door, url, token: ownerToken, authority, stop: () => shutdown.run() };
  } catch (error) {
    await shutdown.run();
    throw error;
  }
}
