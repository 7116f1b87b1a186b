/**
 * The fleet's half of the operator API with one device whose state a test sets, behind the real
 * schemas: what the routes accept and answer is checked as the control plane checks it.
 */
import type { ServerResponse } from 'node:http';
import fastify from 'fastify';
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import type * as z from 'zod';
import { AppError, type Problem, toProblem } from '#shared/kernel/errors.js';
import { pageOf } from '#cloud/http/schemas/common.js';
import {
  commandBody,
  commandCreate,
  deviceBody,
  type DeviceBody,
  devicePatch,
  enrolmentTokenBody,
  enrolmentTokenCreate,
  eventBody,
  generationBody,
  modulesDeploy,
} from '#cloud/http/schemas/devices.js';
import { imageBody } from '#cloud/http/schemas/images.js';
import { serverBody } from '#cloud/http/schemas/server.js';
import { seriesBody, seriesQuery, telemetryBody, telemetryQuery } from '#cloud/http/schemas/telemetry.js';
import { selfBody } from '#cloud/http/schemas/tokens.js';
import { workspaceBody } from '#cloud/http/schemas/workspaces.js';

export const at = '2026-01-02T03:04:05.678Z';
export const gateDigest = `sha256:${'9'.repeat(64)}` as const;
export const digest = `sha256:${'1'.repeat(64)}`;
export const token = 'flt_test-token';
const publicKey = 'A'.repeat(43);

export type CommandAnswer = { readonly result: z.infer<ReturnType<typeof z.json>> } | { readonly problem: Problem };

export class FleetServer {
  device: DeviceBody = {
    name: 'cam-1',
    workspace: 'default',
    tags: { site: 'lab' },
    enrolledAt: at,
    online: true,
    lastSeenAt: at,
    desired: { generation: 4, modules: {} },
    reported: { generation: 4, converged: true, modules: {} },
  };
  readonly deployed: z.output<typeof modulesDeploy>[] = [];
  readonly commands: z.infer<typeof commandCreate>[] = [];
  answer: CommandAnswer = { result: {} };
  /** Without live events, streams are refused. */
  live = true;
  /** Called after the desired state changed, with how often the device was asked for before. */
  onDesired: () => void = () => undefined;
  deviceReads = 0;
  private readonly streams = new Set<ServerResponse>();
  private readonly app = fastify({ forceCloseConnections: true }).withTypeProvider<ZodTypeProvider>();
  private base = '';

  static async start(): Promise<FleetServer> {
    const server = new FleetServer();
    server.addRoutes();
    server.base = await server.app.listen({ host: '127.0.0.1', port: 0 });
    return server;
  }

  get url(): string {
    return this.base;
  }

  get openStreams(): number {
    return this.streams.size;
  }

  report(reported: Partial<DeviceBody['reported']>): void {
    this.device = { ...this.device, reported: { ...this.device.reported, ...reported } };
    this.emit('device.changed', this.device.name);
  }

  emit(type: string, subject: string): void {
    for (const stream of this.streams)
      stream.write(`event: ${type}\ndata: ${JSON.stringify({ subject, data: {} })}\n\n`);
  }

  dropStreams(how: 'end' | 'destroy'): void {
    for (const stream of this.streams) stream[how]();
    this.streams.clear();
  }

  async stop(): Promise<void> {
    await this.app.close();
  }

  private addRoutes(): void {
    const { app } = this;
    const w = '/v1/workspaces/:workspace';
    app.setValidatorCompiler(validatorCompiler);
    app.setSerializerCompiler(serializerCompiler);
    app.setErrorHandler((error, _request, reply) => {
      const problem =
        error instanceof AppError ? toProblem(error) : { code: 'request.invalid', message: String(error) };
      const status = error instanceof AppError ? error.traits.status : 400;
      return reply.code(status).send({ ...problem, requestId: 'r-1' });
    });
    app.addHook('onRequest', async (request) => {
      if (request.headers.authorization !== `Bearer ${token}`) {
        throw new AppError('auth.invalid', 'this token is not known here');
      }
    });
    const trust = { director: publicKey, authority: 'a'.repeat(64) };
    app.get('/v1/server', { schema: { response: { 200: serverBody } } }, async () => ({
      version: '1.2.3',
      ...trust,
      gatewayUrl: 'https://127.0.0.1:8443',
      brokerUrl: 'mqtts://127.0.0.1:8883',
    }));
    app.get('/v1/self', { schema: { response: { 200: selfBody } } }, async () => ({
      ...{ kind: 'token' as const, id: '0'.repeat(16), name: 'owner', role: 'owner' as const },
      ...{ workspace: null, expiresAt: null },
    }));
    app.get('/v1/workspaces', { schema: { response: { 200: pageOf(workspaceBody) } } }, async () => ({
      items: [
        { name: 'default', createdAt: at },
        { name: 'plant-2', createdAt: at },
      ],
    }));
    app.get(`${w}/images/:reference`, { schema: { response: { 200: imageBody } } }, async (request) => {
      const { reference } = request.params as { reference: string };
      const gate = reference === 'gate:1';
      if (!gate && reference !== 'digits:1' && reference !== digest)
        throw new AppError('image.not-found', `no ${reference}`);
      const [name, its] = gate ? ['gate', gateDigest] : ['digits', digest];
      return {
        ...{ name, version: 1, digest: its, flavor: 'onnx' as const, layers: [], models: [], size: 1, tags: {} },
        ...{ createdAt: at, signature: { digest, size: 1, keyIds: [] } },
      };
    });
    this.addDeviceRoutes(`${w}/devices`);
    app.post(
      `${w}/enrolment-tokens`,
      { schema: { body: enrolmentTokenCreate, response: { 201: enrolmentTokenBody } } },
      async (request, reply) => {
        const { workspace } = request.params as { workspace: string };
        const server = { url: 'https://127.0.0.1:8443', workspace, secret: 's'.repeat(32), ...trust, expiresAt: at };
        return reply.code(201).send(server);
      },
    );
    app.get(`${w}/events`, (_request, reply) => {
      if (!this.live) throw new AppError('internal', 'no live events today');
      reply.hijack();
      reply.raw.writeHead(200, { 'content-type': 'text/event-stream' });
      reply.raw.write(': connected\n\n');
      this.streams.add(reply.raw);
      reply.raw.once('close', () => this.streams.delete(reply.raw));
    });
  }

  private addDeviceRoutes(path: string): void {
    const { app } = this;
    const show = (device: string): DeviceBody => {
      if (device !== this.device.name) throw new AppError('device.not-found', `there is no device ${device}`);
      this.deviceReads += 1;
      return this.device;
    };
    const paramsOf = (request: { params: unknown }): { device: string; module: string } =>
      request.params as { device: string; module: string };
    app.get(path, { schema: { response: { 200: pageOf(deviceBody) } } }, async () => ({ items: [this.device] }));
    app.get(`${path}/:device`, { schema: { response: { 200: deviceBody } } }, async (request) =>
      show(paramsOf(request).device),
    );
    app.patch(`${path}/:device`, { schema: { body: devicePatch, response: { 200: deviceBody } } }, async (request) => {
      const device = show(paramsOf(request).device);
      const tags = Object.entries({ ...device.tags, ...request.body.tags }).filter(
        (entry): entry is [string, string] => entry[1] !== null,
      );
      this.device = { ...device, tags: Object.fromEntries(tags) };
      return this.device;
    });
    app.post(`${path}/:device/retire`, { schema: { response: { 200: deviceBody } } }, async (request) => {
      this.device = { ...show(paramsOf(request).device), retiredAt: at };
      return this.device;
    });
    const module = `${path}/:device/modules/:module`;
    app.post(
      `${path}/:device/modules`,
      { schema: { body: modulesDeploy, response: { 202: generationBody } } },
      async (request, reply) => {
        this.deployed.push(request.body);
        const wanted = Object.entries(request.body.modules).map(
          ([name, { image, settings }]) => [name, { name: 'digits', version: 1, digest: image, settings }] as const,
        );
        return reply.code(202).send(this.changeDesired(Object.fromEntries(wanted)));
      },
    );
    app.delete(module, { schema: { response: { 202: generationBody } } }, async (_request, reply) =>
      reply.code(202).send(this.changeDesired({})),
    );
    app.post(
      `${path}/:device/commands`,
      { schema: { body: commandCreate, response: { 200: commandBody } } },
      async (request) => {
        this.commands.push(request.body);
        if ('problem' in this.answer) throw new AppError(this.answer.problem.code, this.answer.problem.message);
        return { id: 'c-1', result: this.answer.result };
      },
    );
    app.get(
      '/v1/workspaces/:workspace/telemetry',
      { schema: { querystring: seriesQuery, response: { 200: seriesBody } } },
      async ({ query: { metric, by, device, sinceSeconds } }) => ({
        ...{ metric, unit: 'ms' as const, from: at, to: at, stepSeconds: 60, leftOff: by === undefined ? 0 : 3 },
        series: (by === undefined ? [device ?? 'all'] : ['cam-1', 'cam-2']).map((name) => ({
          ...{ name, samples: sinceSeconds, values: [1, null, 2.5, 10] },
        })),
      }),
    );
    app.get(
      `${path}/:device/telemetry`,
      { schema: { querystring: telemetryQuery, response: { 200: telemetryBody } } },
      async (request) => {
        const latencyMs = { p50: 0.5, p90: 1, p99: 2, max: 12.25, mean: 0.7 };
        const { module: only, sinceSeconds } = request.query;
        const shown = {
          module: only ?? 'digits',
          version: 1,
          digest,
          provider: 'cpu',
          requests: 20,
          errors: {},
          latencyMs,
        };
        const gigabyte = 1024 ** 3;
        const system = {
          cpu: 0.25,
          memoryUsedBytes: gigabyte,
          memoryTotalBytes: 2 * gigabyte,
          diskUsedBytes: gigabyte,
          diskTotalBytes: 2 * gigabyte,
          agentRssBytes: gigabyte,
          hostsRssBytes: gigabyte,
          gpus: [
            { name: 'GPU one', busy: 0.37, memoryUsedBytes: gigabyte, memoryTotalBytes: 2 * gigabyte },
            { name: 'GPU two' },
          ],
        };
        return {
          device: 'cam-1',
          from: at,
          to: at,
          batches: sinceSeconds,
          dropped: 0,
          gaps: [],
          system,
          modules: [shown],
        };
      },
    );
    app.get(`${path}/:device/events`, { schema: { response: { 200: pageOf(eventBody) } } }, async (request) => {
      const { cursor } = request.query as { cursor?: string };
      const page = cursor === undefined ? 1 : Number(cursor);
      const event = {
        device: 'cam-1',
        at,
        receivedAt: at,
        level: 'info',
        type: 'module.activated',
        message: `page ${String(page)}`,
      };
      return page < 3 ? { items: [event], next: String(page + 1) } : { items: [event] };
    });
  }

  private changeDesired(modules: DeviceBody['desired']['modules']): z.infer<typeof generationBody> {
    const generation = this.device.desired.generation + 1;
    this.device = { ...this.device, desired: { generation, modules } };
    setImmediate(() => this.onDesired());
    return { device: this.device.name, generation };
  }
}
