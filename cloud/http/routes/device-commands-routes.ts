import * as z from 'zod';
import type { CommandService } from '#cloud/fleet/command-service.js';
import type { Routes } from '../app.js';
import { commandBody, commandCreate } from '../schemas/devices.js';
import { deviceParams } from './device-routes.js';

export interface DeviceCommandsRouteDeps {
  readonly commands: CommandService;
}

export function deviceCommandsRoutes({ commands }: DeviceCommandsRouteDeps): Routes {
  return (app) => {
    app.post(
      '/v1/workspaces/:workspace/devices/:device/commands',
      {
        config: { role: 'contributor' },
        schema: {
          tags: ['devices'],
          summary: 'Send a signed command and wait for its answer, until the timeout',
          params: deviceParams,
          body: commandCreate,
          response: { 200: commandBody },
        },
      },
      async (request) => {
        const { operation, arguments: args, timeoutSeconds } = request.body;
        const { id, result } = await commands.run(request.params, {
          operation,
          arguments: args,
          timeoutMs: timeoutSeconds * 1000,
        });
        return { id, result: z.json().parse(result) };
      },
    );
  };
}
