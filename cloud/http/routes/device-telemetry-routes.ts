import type { Clock } from '#shared/kernel/clock.js';
import type { DeviceRepository } from '#cloud/fleet/device-repository.js';
import { deviceNotFound } from '#cloud/fleet/device-errors.js';
import { askTelemetry } from '#cloud/telemetry/telemetry-body.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import type { Routes } from '../app.js';
import { telemetryBody, telemetryQuery } from '../schemas/telemetry.js';
import { deviceParams } from './device-routes.js';

export interface DeviceTelemetryRouteDeps {
  readonly devices: DeviceRepository;
  readonly telemetry: TelemetryPort;
  readonly clock: Clock;
}

export function deviceTelemetryRoutes({ devices, telemetry, clock }: DeviceTelemetryRouteDeps): Routes {
  return (app) => {
    app.get(
      '/v1/workspaces/:workspace/devices/:device/telemetry',
      {
        config: { role: 'reader' },
        schema: {
          tags: ['telemetry'],
          summary: 'What the modules of a device did over a span that ends now, latency sketches merged',
          params: deviceParams,
          querystring: telemetryQuery,
          response: { 200: telemetryBody },
        },
      },
      async (request) => {
        const address = request.params;
        if ((await devices.find(address)) === undefined) throw deviceNotFound(address);
        return askTelemetry(telemetry, clock, { ...address, ...request.query });
      },
    );
  };
}
