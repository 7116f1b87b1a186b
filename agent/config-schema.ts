/** Every setting of the agent, once: by its path in the file, with what holds without it. */
import { isIP } from 'node:net';
import * as z from 'zod';
import { isTimeZone } from '#shared/kernel/time-zone.js';
import { readHostName, readOrigin } from '#shared/scoring/access/access-settings.js';
import { collectSettings } from '#agent/collect/collect-settings.js';
import { parseProxy } from '#agent/link/proxy-choice.js';
import { routeSettings } from '#agent/routes/route-settings.js';
import { moduleSettings } from '#agent/serving/module-settings.js';

const port = z.coerce.number().int().min(0).max(65_535);
const megabytes = z.coerce.number().int().min(1).max(1_000_000);
const hours = z.coerce.number().min(0.001).max(100_000);

/** Of texts, in a file as a list, elsewhere with commas between. */
const listOf = (read: (text: string) => string | undefined, what: string) =>
  z
    .preprocess(
      (value) => (typeof value === 'string' ? value.split(',') : value),
      z
        .array(
          z
            .string()
            .refine((text) => read(text) !== undefined, what)
            .transform((text) => read(text) ?? text),
        )
        .max(64),
    )
    .default([]);

export const agentSettings = {
  stateDir: z
    .string()
    .min(1)
    .describe('where everything that must survive lies; /var/lib/flotilla-agent where the agent is root'),
  'scoring.address': z
    .string()
    .refine((text) => isIP(text) !== 0, 'must be an IP address, for example 127.0.0.1')
    .default('127.0.0.1')
    .describe('IP address of the scoring port'),
  'scoring.port': port.default(8800).describe('scoring port; 0 picks a free one'),
  'scoring.access': z
    .enum(['open', 'keys'])
    .optional()
    .describe('who may score; without it this machine freely, others with a key'),
  'scoring.hostNames': listOf(
    readHostName,
    'must be host names without a port, for example edge-1.factory.example',
  ).describe('further names by which the scoring port may be asked'),
  'scoring.corsOrigins': listOf(
    readOrigin,
    'must be origins as browsers write them, for example https://app.example',
  ).describe('origins whose web pages may ask'),
  'grpc.port': port.optional().describe('port of gRPC, on the address of scoring; without it there is none'),
  'scoring.maxBodyMegabytes': megabytes.default(64).describe('largest scoring request'),
  'local.socket': z
    .string()
    .startsWith('/', 'must be an absolute path')
    .max(103)
    .optional()
    .describe("another place for the agent's socket than the state folder, which only its owner can enter"),
  'local.socketGroup': z.coerce
    .string()
    .min(1)
    .optional()
    .describe('group, by name or number, whose members may ask over that socket'),
  'telemetry.intervalSeconds': z.coerce
    .number()
    .min(0.1)
    .max(86_400)
    .default(10)
    .describe('how often telemetry is collected and sent'),
  'telemetry.maxSpoolMegabytes': megabytes.default(64).describe('telemetry and events kept while offline'),
  'telemetry.maxAgeHours': hours.default(7 * 24).describe('how long telemetry waits to be sent'),
  'telemetry.maxEventAgeHours': hours.default(30 * 24).describe('how long events wait to be sent'),
  ...collectSettings,
  'disk.reserveMegabytes': z.coerce
    .number()
    .int()
    .min(0)
    .max(1_000_000)
    .default(64)
    .describe('disk space that downloads leave free'),
  'link.keepaliveSeconds': z.coerce
    .number()
    .int()
    .min(5)
    .max(3600)
    .default(30)
    .describe('how often the connection is proved while nothing is said'),
  'link.maxReconnectSeconds': z.coerce
    .number()
    .min(0.1)
    .max(3600)
    .default(60)
    .describe('longest pause between two attempts to connect'),
  ...moduleSettings,
  ...routeSettings,
  'link.transport': z
    .enum(['auto', 'mqtt', 'websocket'])
    .default('auto')
    .describe('auto: MQTT, and where that does not come through, MQTT over WebSocket'),
  'link.proxy': z
    .string()
    .refine((text) => text === 'none' || parseProxy(text).ok, {
      error: ({ input }) => `must be http://[user:password@]host:port or none: ${reasonOf(String(input))}`,
    })
    .optional()
    .describe('HTTP proxy, http://[user:password@]host:port, or none; without it HTTPS_PROXY of the environment'),
  'link.noProxy': z
    .string()
    .max(4096)
    .default('')
    .describe('reached without the proxy, separated by commas; without it NO_PROXY of the environment'),
  timeZone: z
    .string()
    .refine(isTimeZone, 'must be a time zone, for example Europe/Berlin')
    .optional()
    .describe('time zone in which maintenance windows are read; without it that of the system'),
  'log.level': z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info')
    .describe('least severe log line that is written'),
} as const;

export type AgentSettingName = keyof typeof agentSettings;
export const agentSettingNames = Object.keys(agentSettings) as AgentSettingName[];

export const agentVariablePrefix = 'FLOTILLA_AGENT_';

/** `scoring.port` is FLOTILLA_AGENT_SCORING_PORT. */
export function agentVariableOf(name: string): string {
  const words = name.replaceAll('.', '_').replaceAll(/([a-z])([A-Z])/g, '$1_$2');
  return agentVariablePrefix + words.toUpperCase();
}

function reasonOf(proxy: string): string {
  const parsed = parseProxy(proxy);
  return parsed.ok ? '' : parsed.error;
}
