/** Every setting of the control plane, once: what flags, environment and file may say, and what holds without them. */
import * as z from 'zod';
import { sandboxAspects } from '#shared/protocol/sandbox.js';
import { roles } from '#cloud/auth/role.js';

const port = z.coerce.number<string | number>().int().min(0).max(65_535);
const count = z.coerce.number<string | number>().int().min(1);
const text = z.string().min(1);
const flag = z.union([z.boolean(), z.stringbool()]);
const gibibyte = 1024 ** 3;

/** `a=owner,b=reader` as a mapping; anything else is left to the schema to complain about. */
function readMapping(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  const pairs = value
    .split(',')
    .map((pair) => [pair.slice(0, pair.lastIndexOf('=')), pair.slice(pair.lastIndexOf('=') + 1)]);
  return Object.fromEntries(pairs) as unknown;
}

function splitList(value: string): string[] {
  return value.split(',').flatMap((part) => (part.trim() === '' ? [] : [part.trim()]));
}

export const cloudConfigSchema = z.strictObject({
  dataDir: text.default('.flotilla').describe('folder of the databases, blobs and keys'),
  ownerTokenFile: text
    .optional()
    .describe('where the first start writes the owner token, for its user alone, in place of printing it'),
  logLevel: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info')
    .describe('least severe log line that is written'),
  serverNames: z
    .preprocess((value) => (typeof value === 'string' ? value.split(',') : value), z.array(text).max(32))
    .default([])
    .describe('further names and addresses in the certificate of gateway and broker, separated by commas'),
  http: z
    .strictObject({
      host: text.default('127.0.0.1').describe('address the operator API binds'),
      port: port.default(8080).describe('port of the operator API; 0 picks a free one'),
      tls: z
        .enum(['generated', 'files', 'off'])
        .default('generated')
        .describe("certificate of the API: of the installation's own authority, from files, or none"),
      tlsCertFile: text.optional().describe('PEM certificate chain of the operator API, for http.tls files'),
      tlsKeyFile: text.optional().describe('PEM private key of the operator API, for http.tls files'),
      behindProxy: flag.default(false).describe('one proxy stands before the API: it ends TLS and tells who asks'),
    })
    .prefault({}),
  oidc: z
    .strictObject({
      issuer: z.url().optional().describe('issuer whose tokens people come in with; https, or http on loopback'),
      audience: text.optional().describe('what those tokens must be for'),
      clientId: text.default('flotilla').describe('public client of "flotilla login --oidc" at the issuer'),
      scopes: text.default('openid profile offline_access').describe('what that login asks for'),
      rolesClaim: text.default('roles').describe('claim with the names that oidc.mapping maps; dots lead into objects'),
      workspaceClaim: text.optional().describe('claim that names the one workspace, or *; unset: every workspace'),
      mapping: z
        .preprocess(readMapping, z.record(z.string().min(1), z.enum(roles)))
        .default({})
        .describe('role by value of the claim: fleet-admins=owner,fleet-ops=contributor'),
    })
    .prefault({}),
  gateway: z
    .strictObject({
      host: text.default('127.0.0.1').describe('address the device gateway binds'),
      port: port.default(8443).describe('port of the device gateway (HTTPS); 0 picks a free one'),
      advertiseUrl: z
        .url({ protocol: /^https$/ })
        .optional()
        .describe('URL by which devices reach the gateway'),
    })
    .prefault({}),
  broker: z
    .strictObject({
      kind: z
        .enum(['embedded', 'external'])
        .default('embedded')
        .describe('run a broker in this process, or use another'),
      host: text.default('127.0.0.1').describe('address the embedded broker binds'),
      port: port.default(8883).describe('port of the embedded broker (MQTT over TLS); 0 picks a free one'),
      advertiseUrl: z
        .url({ protocol: /^(mqtts|wss)$/ })
        .optional()
        .describe('URL by which devices reach the broker: mqtts://, or wss:// with a path'),
      url: z
        .url({ protocol: /^mqtts$/ })
        .optional()
        .describe('URL of the external broker'),
      caFile: text.optional().describe('PEM certificates that the external broker is checked against'),
      pidFile: text
        .optional()
        .describe('pid file of an external Mosquitto, which is told by SIGHUP when certificates change'),
      reloadCommand: text
        .optional()
        .describe('shell command that makes the external broker read its files anew, instead of a SIGHUP'),
      maxConnections: count.default(20_000).describe('connections the embedded broker takes at one time'),
      maxConnectionsPerAddress: count
        .default(10_000)
        .describe('of these, connections from one source address, behind which many devices may stand'),
      maxStrangersPerAddress: count
        .default(500)
        .describe('of these, connections that have not yet said who they are; others are refused, and come again'),
      messagesPerSecond: count.default(1_000).describe('messages a second that one device may send for long'),
      kilobytesPerSecond: count.default(4_096).describe('kilobytes a second that one device may send for long'),
    })
    .prefault({}),
  keys: z
    .strictObject({
      atRestFile: text
        .optional()
        .describe('key file that seals the private keys on disk; keys/at-rest.key in the data folder without it'),
      passphraseFile: text.optional().describe('file with a passphrase that seals them instead'),
      authorityCertFile: text
        .optional()
        .describe('PEM of your own certificate authority and its chain up to the root, at the first start'),
      authorityKeyFile: text.optional().describe('PEM of its private key'),
    })
    .prefault({}),
  devices: z
    .strictObject({
      certificateDays: count
        .max(3650)
        .default(90)
        .describe('how long a certificate of a device holds; devices renew at two thirds of it'),
      renewalGraceDays: z.coerce
        .number<string | number>()
        .int()
        .min(0)
        .max(3650)
        .default(180)
        .describe('how long after its end a device may still renew its certificate'),
    })
    .prefault({}),
  limits: z
    .strictObject({
      maxModelBytes: count.default(2 * gibibyte).describe('all files of one model version together'),
      maxBlobBytes: count.default(4 * gibibyte).describe('one uploaded blob'),
      maxJsonBytes: count.default(1024 ** 2).describe('one JSON request body'),
      loadCheckSeconds: count.default(120).describe('how long onnxruntime may take to load a model'),
      activities: count.default(2).describe('activities under way at one time'),
      requestsPerSecond: count
        .default(200)
        .describe('calls of the API by one token or address, sustained; twice that at once'),
    })
    .prefault({}),
  services: z
    .strictObject({
      enabled: flag.default(true).describe('run web services; their process starts with the first endpoint'),
      startedBy: z
        .enum(['control-plane', 'systemd'])
        .default('control-plane')
        .describe("who starts that process: systemd, by the unit beside the control plane's, or the control plane"),
      host: text.default('127.0.0.1').describe('address the front of web services binds'),
      port: port.default(8081).describe('port of the front of web services; 0 picks a free one'),
      advertiseUrl: z
        .url({ protocol: /^https?$/ })
        .optional()
        .describe('URL by which callers reach that front'),
      tls: z
        .enum(['generated', 'files', 'off'])
        .default('generated')
        .describe("certificate of that front: of the installation's own authority, from files, or none"),
      tlsCertFile: text.optional().describe('PEM certificate chain of that front, for services.tls files'),
      tlsKeyFile: text.optional().describe('PEM private key of that front, for services.tls files'),
      runtime: z
        .enum(['process', 'container'])
        .default('process')
        .describe('what a replica is: processes of this machine, or a container of Docker Engine or podman'),
      engineSocket: text
        .default('/var/run/docker.sock')
        .describe('Unix socket of that engine, on this machine; who may open it has the rights of root'),
      containerBase: text
        .optional()
        .describe('what containers stand on: an absolute path of a root file system, or an image that the engine has'),
      containerMemoryMegabytes: count
        .min(64)
        .max(1_048_576)
        .optional()
        .describe('memory of one container; without it as much as there is'),
      containerCpus: z.coerce
        .number<string | number>()
        .min(0.01)
        .max(1024)
        .optional()
        .describe('cores of one container; without it all'),
      containerProcesses: count.min(32).max(1_000_000).default(1024).describe('processes and threads of one container'),
      containerScratchMegabytes: count
        .max(1_048_576)
        .default(64)
        .describe('/tmp of one container, which counts as its memory'),
      maxReplicas: count.max(10_000).default(100).describe('replicas that all deployments together may have'),
    })
    .prefault({}),
  modules: z
    .strictObject({
      allowNetwork: flag.default(false).describe('whether modules behind endpoints that ask for the network get it'),
      maxMemoryMegabytes: z.coerce
        .number<string | number>()
        .int()
        .min(64)
        .max(1_000_000)
        .optional()
        .describe("the most that user code of one replica may have; without it half of the machine's memory"),
      maxCpus: z.coerce
        .number<string | number>()
        .min(0.05)
        .max(1024)
        .optional()
        .describe('cores that user code of one replica may have; without it all'),
      require: z
        .preprocess((value) => (typeof value === 'string' ? splitList(value) : value), z.array(z.enum(sandboxAspects)))
        .default([])
        .describe(
          `what must be enforced before any user code runs behind endpoints, separated by commas: ${sandboxAspects.join(', ')}`,
        ),
    })
    .prefault({}),
  alerts: z
    .strictObject({
      destinationsFile: text
        .optional()
        .describe('YAML file, mode 0600, of webhooks that notices of alerts can go to: name: {url, secret}'),
      everySeconds: count.max(3600).default(15).describe('how often rules over metrics are judged'),
    })
    .prefault({}),
  otlp: z
    .strictObject({
      url: z
        .url({ protocol: /^https?$/ })
        .optional()
        .describe(
          'where an OpenTelemetry collector takes metrics over HTTP, with its path: http://collector:4318/v1/metrics',
        ),
      headersFile: text
        .optional()
        .describe('YAML file, mode 0600, of header fields that go along, for example authorization'),
      everySeconds: count.max(3600).default(60).describe('how often metrics are sent there'),
    })
    .prefault({}),
  retention: z
    .strictObject({
      telemetryRawHours: count
        .default(24)
        .describe('batches of telemetry as they came are kept for so long, then minutes'),
      telemetryMinuteDays: count.default(7).describe('minutes of telemetry are kept for so long, then hours'),
      telemetryDays: count.default(30).describe('telemetry and events older than this are removed'),
      telemetryMegabytes: count
        .default(8192)
        .describe('when the telemetry database is larger, the oldest goes before its time, the finest first'),
      dataDays: count.default(30).describe('collected data that nothing was added to for so long is removed'),
      dataMegabytes: count
        .default(10_240)
        .describe('when a workspace has collected more than this, what is of the oldest hours goes before its time'),
      auditDays: count.default(400).describe('entries of the audit log older than this are removed'),
      activityDays: count.default(90).describe('ended activities older than this are removed'),
      commandDays: count
        .default(30)
        .describe('ended commands to many devices, and schedules that come no more, older than this are removed'),
      rolloutDays: count
        .default(365)
        .describe(
          'ended rollouts older than this are removed, once later ones have led all their devices on; and shifts of traffic',
        ),
      rolloutHistoryEntries: count
        .default(100_000)
        .describe('of the history of a rollout that has ended, so many of the newest entries are kept'),
      blobGraceHours: z.coerce
        .number<string | number>()
        .min(0)
        .default(24)
        .describe('blobs that nothing uses are removed after this'),
    })
    .prefault({}),
});
export type CloudConfig = z.output<typeof cloudConfigSchema>;
