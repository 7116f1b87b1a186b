/** The registry half of the control plane over a real data folder and a real socket, and short ways to use it. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createLogger } from '#shared/platform/logger.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import { buildImage } from '#shared/package/build-image.js';
import { signImage } from '#shared/package/image-signature.js';
import { generateSigningKey, type SigningKey } from '#shared/package/signing-key.js';
import type { ImageStatement } from '#shared/package/image-schema.js';
import type { ActivityBody } from '#cloud/http/schemas/activities.js';
import { loadConfig } from '#cloud/config.js';
import { serverRoutes } from '#cloud/http/routes/server-routes.js';
import { Shutdown } from '#cloud/lifecycle/shutdown.js';
import { ensureInstallationIdentity } from '#cloud/trust/installation-identity.js';
import { LivingIdentity } from '#cloud/trust/living-identity.js';
import { openApi } from '#cloud/wiring/api-wiring.js';
import { layGround, type Ground } from '#cloud/wiring/ground.js';
import { TelemetryRepository } from '#cloud/telemetry/telemetry-repository.js';
import { wireRegistry } from '#cloud/wiring/registry-wiring.js';

export const fixture = (...parts: string[]): string => join(import.meta.dirname, '../../fixtures/models', ...parts);
export const digitsFolder = join(import.meta.dirname, '../../../modules/digits');

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Buffer;
  // Tests look into bodies of every form; a wrong guess fails the test.
  readonly body: Record<string, unknown>;
}

export interface RegistryHarness {
  readonly url: string;
  readonly token: string;
  readonly ground: Ground;
  readonly telemetry: TelemetryRepository;
  request(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Path below `/v1/workspaces/default`. */
  w(method: string, path: string, body?: unknown): Promise<Answer>;
  upload(bytes: Uint8Array, workspace?: string): Promise<string>;
  /** Waits until the activity that the answer names has ended. */
  ended(started: Answer): Promise<ActivityBody>;
  /** Uploads the files and registers them; `files` maps names to paths on disk. */
  register(name: string, files: Record<string, string>, extra?: object): Promise<ActivityBody>;
  /** Builds the digits module, uploads and signs it. */
  publish(layout: string, options?: PublishOptions): Promise<{ digest: string; activity: ActivityBody }>;
  stop(): Promise<void>;
}

export interface PublishOptions {
  readonly key?: SigningKey;
  readonly model?: string;
  readonly statement?: (statement: ImageStatement) => ImageStatement;
  readonly skip?: (blob: { mediaType: string }) => boolean;
}

export async function startRegistry(dataDir: string, flags: Record<string, string> = {}): Promise<RegistryHarness> {
  const logger = createLogger('test', { level: 'silent', pretty: false });
  const shutdown = new Shutdown(logger);
  const config = loadConfig({
    flags: { 'data-dir': dataDir, 'http-port': '0', 'http-tls': 'off', ...flags },
    environment: {},
  });
  let ground: Ground;
  let telemetry: TelemetryRepository;
  let api: Awaited<ReturnType<typeof openApi>>;
  try {
    ground = await layGround(config, logger, shutdown);
    const store = await TelemetryRepository.open(join(dataDir, 'telemetry.db'));
    shutdown.add('telemetry store', () => store.close());
    telemetry = store;
    const keys = { folder: join(dataDir, 'keys'), names: [], hostname: 'test', nowMs: Date.now() };
    const identity =
      config.http.tls === 'off' ? undefined : await LivingIdentity.open(() => ensureInstallationIdentity(keys));
    const server = { version: '0.0.0', director: 'A'.repeat(43), authority: '', gatewayUrl: '', brokerUrl: '' };
    const fleet = { routes: [serverRoutes({ server: () => server })], checks: [] };
    api = await openApi(ground, '0.0.0', [await wireRegistry(ground, store, () => undefined), fleet], identity);
  } catch (error) {
    await shutdown.run();
    throw error;
  }
  const token = api.ownerToken ?? '';
  return new Harness(api.url, token, ground, telemetry, () => shutdown.run());
}

class Harness implements RegistryHarness {
  constructor(
    readonly url: string,
    public token: string,
    readonly ground: Ground,
    readonly telemetry: TelemetryRepository,
    readonly stop: () => Promise<void>,
  ) {}

  async request(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const raw = body instanceof Uint8Array || typeof body === 'string';
    const response = await fetch(this.url + path, {
      method,
      headers: {
        authorization: `Bearer ${this.token}`,
        ...(body === undefined
          ? {}
          : { 'content-type': body instanceof Uint8Array ? 'application/octet-stream' : 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: (raw ? body : JSON.stringify(body)) as string }),
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    const isJson = response.headers.get('content-type')?.startsWith('application/json') === true && bytes.length > 0;
    return {
      status: response.status,
      headers: response.headers,
      bytes,
      body: isJson ? (JSON.parse(bytes.toString()) as Record<string, unknown>) : {},
    };
  }

  w(method: string, path: string, body?: unknown): Promise<Answer> {
    return this.request(method, `/v1/workspaces/default${path}`, body);
  }

  async upload(bytes: Uint8Array, workspace = 'default'): Promise<string> {
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    const answer = await this.request('PUT', `/v1/workspaces/${workspace}/blobs/${digest}`, bytes);
    if (answer.status !== 200 && answer.status !== 201) throw new Error(`upload: ${answer.bytes.toString()}`);
    return digest;
  }

  async ended(started: Answer): Promise<ActivityBody> {
    if (started.status !== 202) throw new Error(`not started: ${started.bytes.toString()}`);
    const { id, workspace } = started.body as ActivityBody;
    for (;;) {
      const answer = await this.request('GET', `/v1/workspaces/${workspace}/activities/${id}`);
      const activity = answer.body as ActivityBody;
      if (activity.endedAt !== undefined) return activity;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async register(name: string, files: Record<string, string>, extra: object = {}): Promise<ActivityBody> {
    const listed: { path: string; digest: string }[] = [];
    for (const [path, source] of Object.entries(files)) {
      listed.push({ path, digest: await this.upload(await readFile(source)) });
    }
    return this.ended(await this.w('POST', '/models', { name, files: listed, ...extra }));
  }

  async publish(layout: string, options: PublishOptions = {}): Promise<{ digest: string; activity: ActivityBody }> {
    const image = await buildImage({
      moduleFolder: digitsFolder,
      ...(options.model === undefined ? {} : { models: { digits: options.model } }),
      layout,
      log: () => undefined,
    });
    for (const blob of image.blobs) {
      if (options.skip?.(blob) !== true) await this.upload(await readFile(blob.path));
    }
    const statement: ImageStatement = { schema: 1, digest: image.digest, name: image.name, flavor: image.flavor };
    const envelope = signImage(options.statement?.(statement) ?? statement, options.key ?? generateSigningKey());
    const started = await this.w('POST', '/images', { digest: image.digest, envelope });
    return { digest: image.digest, activity: await this.ended(started) };
  }
}

/** A deployment row, as the fleet half writes it. */
export async function deployRow(ground: Ground, device: string, imageDigest: string): Promise<void> {
  const at = '2026-01-01T00:00:00.000Z';
  await ground.control
    .insertInto('devices')
    .values({
      workspace: 'default',
      name: device,
      sealingKey: '',
      tagsJson: '{}',
      enrolledAt: at,
      retiredAt: null,
      online: 0,
      presenceAt: null,
      presenceBootId: 0,
      desiredGeneration: 1,
      desiredEnvelope: null,
      desiredExpiresAt: null,
      reportedJson: '{}',
      reportedBootId: 0,
      reportedSequence: 0,
      reportedAt: null,
    })
    .execute();
  await ground.control
    .insertInto('deployments')
    .values({
      id: `deployment-${device}`,
      workspace: 'default',
      kind: 'iot-module',
      device,
      module: 'digits',
      imageDigest,
      settingsJson: '{}',
      policyJson: canonicalJson({}),
      updateJson: canonicalJson({}),
      generation: 1,
      removedGeneration: null,
      createdAt: at,
    })
    .execute();
}
