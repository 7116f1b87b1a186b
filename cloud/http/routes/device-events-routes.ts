import { toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { DeviceRepository } from '#cloud/fleet/device-repository.js';
import { deviceNotFound } from '#cloud/fleet/device-errors.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import type { Routes } from '../app.js';
import { pageOf, pageQuery } from '../schemas/common.js';
import { eventBody } from '../schemas/devices.js';
import { deviceParams } from './device-routes.js';

export interface DeviceEventsRouteDeps {
  readonly devices: DeviceRepository;
  readonly telemetry: TelemetryPort;
}

export function deviceEventsRoutes({ devices, telemetry }: DeviceEventsRouteDeps): Routes {
  return (app) => {
    app.get(
      '/v1/workspaces/:workspace/devices/:device/events',
      {
        config: { role: 'reader' },
        schema: {
          tags: ['telemetry'],
          summary: 'What a device told, newest first',
          params: deviceParams,
          querystring: pageQuery,
          response: { 200: pageOf(eventBody) },
        },
      },
      async (request) => {
        const address = request.params;
        if ((await devices.find(address)) === undefined) throw deviceNotFound(address);
        const { limit, cursor } = request.query;
        const before = cursor === undefined ? undefined : readCursor(cursor);
        const { events, next } = await telemetry.events({
          ...address,
          limit,
          ...(before === undefined ? {} : { before }),
        });
        const items = events.map((event) => ({
          ...event,
          device: address.device,
          receivedAt: toInstant(event.receivedAt),
        }));
        return next === undefined ? { items } : { items, next: String(next) };
      },
    );
  };
}

function readCursor(cursor: string): number {
  if (/^[0-9]{1,15}$/.test(cursor)) return Number(cursor);
  throw new AppError('request.invalid', 'query: cursor is not one that this list gave out');
}
