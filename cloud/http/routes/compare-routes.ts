import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { compareSides } from '#cloud/compare/compare-sides.js';
import { comparedDigests } from '#cloud/compare/compared-digests.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import { matchingDevices } from '#cloud/fleet/device-search.js';
import { deviceNotFound } from '#cloud/fleet/device-errors.js';
import { DeviceRepository } from '#cloud/fleet/device-repository.js';
import { FleetRepository } from '#cloud/fleet/fleet-repository.js';
import { parseQuery } from '#cloud/fleet/query/parse-query.js';
import type { Query } from '#cloud/fleet/query/query-ast.js';
import { EndpointRepository } from '#cloud/services/control/endpoint-repository.js';
import { ServiceDeploymentRepository } from '#cloud/services/control/service-deployment-repository.js';
import { requireDeployment } from '#cloud/services/control/traffic.js';
import { sourceOf } from '#cloud/services/service-source.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import type { Routes } from '../app.js';
import { workspaceParams } from '../schemas/common.js';
import { compareBody, compareQuery } from '../schemas/compare.js';

export interface CompareRouteDeps {
  readonly db: Database;
  readonly telemetry: Pick<TelemetryPort, 'sides'>;
  readonly clock: Clock;
}

interface AskedDevices {
  readonly name: string;
  readonly devices: readonly string[];
}

export function compareRoutes({ db, telemetry, clock }: CompareRouteDeps): Routes {
  return (app) => {
    app.get(
      '/v1/workspaces/:workspace/compare',
      {
        config: { role: 'reader' },
        schema: {
          tags: ['telemetry'],
          summary: 'One image, or model version, at an endpoint and on devices, over a span that ends now',
          params: workspaceParams,
          querystring: compareQuery,
          response: { 200: compareBody },
        },
      },
      async (request) => {
        const { workspace } = request.params;
        const { image, endpoint: name, deployment, sinceSeconds, ...which } = request.query;
        const digests = await comparedDigests(db, workspace, image);
        const endpoint = await new EndpointRepository(db).require(workspace, name);
        const names = (await new ServiceDeploymentRepository(db).current(endpoint.id)).map((one) => one.name);
        if (deployment !== undefined) requireDeployment(name, deployment, names);
        const { name: devicesName, devices } = await devicesOf(db, workspace, which);
        const toMs = clock.now();
        const found = await telemetry.sides({
          ...{ workspace, digests, fromMs: toMs - sinceSeconds * 1000, toMs: toMs + 1 },
          sides: [{ endpoint: name, deployment }, { devices }],
        });
        const [here, there] = found.sides;
        if (here === undefined || there === undefined) throw new Error('two sides were asked for');
        const endpointName = deployment === undefined ? name : sourceOf(name, deployment);
        return {
          ...{ image, digests, from: toInstant(found.fromMs), to: toInstant(toMs) },
          ...compareSides(
            { name: endpointName, asked: deployment === undefined ? names.length : 1, answer: here },
            { name: devicesName, asked: devices.length, answer: there },
          ),
        };
      },
    );
  };
}

/** @throws AppError `fleet.not-found`, `query.invalid`, `device.not-found` */
async function devicesOf(
  db: Database,
  workspace: string,
  {
    fleet,
    where,
    device = [],
  }: {
    readonly fleet?: string | undefined;
    readonly where?: string | undefined;
    readonly device?: readonly string[] | undefined;
  },
): Promise<AskedDevices> {
  if (fleet !== undefined) {
    const { query } = await new FleetRepository(db).require(workspace, fleet);
    return { name: `fleet ${fleet}`, devices: await namesOf(db, workspace, query) };
  }
  if (where !== undefined) return { name: where, devices: await namesOf(db, workspace, parseQuery(where)) };
  const devices = new DeviceRepository(db);
  for (const one of device) {
    const address = { workspace, device: one };
    if ((await devices.find(address)) === undefined) throw deviceNotFound(address);
  }
  return { name: device.join(', '), devices: device };
}

async function namesOf(db: Database, workspace: string, query: Query): Promise<string[]> {
  const rows = await matchingDevices(db, workspace, query).select('devices.name').execute();
  return rows.map(({ name }) => name);
}
