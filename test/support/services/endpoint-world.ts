/**
 * A control plane with signed images, the `flotilla` command before it, and in the place of its service host one that
 * only remembers what it was told, and says of it what a test says.
 */
import { Readable } from 'node:stream';
import { AppError } from '#shared/kernel/errors.js';
import { encodeEnvelope, maxSignatureBytes, signImage } from '#shared/package/image-signature.js';
import { imageManifestSchema } from '#shared/package/image-schema.js';
import { mediaTypes } from '#shared/package/media-types.js';
import { moduleManifestSchema } from '#shared/package/module-manifest.js';
import { encodeModuleManifest } from '#shared/package/read-manifest.js';
import { generateSigningKey, type SigningKey } from '#shared/package/signing-key.js';
import type { Family } from '#shared/platform/exposition.js';
import type { Digest } from '#shared/protocol/primitives.js';
import type { DesiredServices } from '#cloud/services/desired-services.js';
import type { HandedTrust } from '#cloud/services/control/trust-handover.js';
import type { ServiceHost, ServiceHostDoor } from '#cloud/services/control/services-publisher.js';
import type { DeploymentStatus, ServicesStatus } from '#cloud/services/services-status.js';
import { TrustChain } from '#cloud/trust/trust-chain.js';
import { CliHarness, type CliRun } from '../cli/cli-harness.js';
import { type CloudParts, openCloudParts } from '../cloud-parts.js';
import { exampleOf } from '../examples.js';
import { signTrust, trustDocument } from '../trust-documents.js';

const at = '2026-01-01T00:00:00.000Z';
const numbers = { requests: 0, errors: 0, rejected: 0, outstanding: 0 };

/** Starts at once whatever it is told, but for deployments that a test names. */
export class RememberedHost implements ServiceHost {
  /** For Prometheus; undefined: it does not answer that. */
  counted: readonly Family[] | undefined = [];
  desired: DesiredServices | undefined;
  handed: HandedTrust['workspaces'] = [];
  /** While it is set, nobody answers. */
  away = false;
  /** How often it was told to end. */
  stops = 0;
  /** By deployment: why it does not start. */
  readonly failing = new Map<string, string>();

  async about(): Promise<{ generation: number; trust: Record<string, number> }> {
    this.requireHere();
    const versions = this.handed.map(({ workspace, envelopes }) => [workspace, envelopes.length] as const);
    return { generation: this.desired?.generation ?? 0, trust: Object.fromEntries(versions) };
  }

  async trust({ workspaces }: HandedTrust): Promise<readonly string[]> {
    this.requireHere();
    this.handed = workspaces;
    return [];
  }

  async collected(): Promise<{ pieces: []; lost: number }> {
    return { pieces: [], lost: 0 };
  }

  async taken(): Promise<void> {
    return Promise.resolve();
  }

  async apply(desired: DesiredServices): Promise<void> {
    this.requireHere();
    this.desired = desired;
  }

  async status(): Promise<ServicesStatus> {
    this.requireHere();
    const endpoints = (this.desired?.endpoints ?? []).map(({ id, deployments }) => ({
      id,
      deployments: deployments.map(({ name, revision, scale }): DeploymentStatus => {
        const message = this.failing.get(name);
        const wantedReplicas = scale.kind === 'fixed' ? scale.replicas : scale.min;
        const failed = { state: 'failed' as const, problem: { code: 'golden.mismatch', message: message ?? '' } };
        const replicas = Array.from({ length: wantedReplicas }, (_, index) => {
          return { id: `r${String(index)}`, revision, state: 'ready' as const, since: at, restarts: 0 };
        });
        const how = message === undefined ? { state: 'healthy' as const, replicas } : { ...failed, replicas: [] };
        return { name, revision, wantedReplicas, numbers, ...how };
      }),
    }));
    const generation = this.desired?.generation ?? 0;
    return { schema: 1, generation, version: '0.0.0', startedAt: at, url: 'http://127.0.0.1:1', endpoints };
  }

  async logs(_endpoint: string, deployment: string): Promise<string[]> {
    return [`${deployment} began`, 'password=hunter2'];
  }

  async families(): Promise<readonly Family[]> {
    if (this.counted === undefined) throw new AppError('service.unavailable', 'it counts nothing');
    return this.counted;
  }

  async telemetry(): Promise<[]> {
    return [];
  }

  async stop(): Promise<void> {
    this.stops += 1;
  }

  private requireHere(): void {
    if (this.away) throw new AppError('service.unavailable', 'it is away');
  }
}

export class EndpointWorld {
  private constructor(
    readonly parts: CloudParts,
    readonly host: RememberedHost,
    readonly publisher: SigningKey,
    /** How often a service host was to be started. */
    readonly starts: () => number,
    private readonly cli: CliHarness,
  ) {}

  static async open(folder: string): Promise<EndpointWorld> {
    const host = new RememberedHost();
    let starts = 0;
    const door: ServiceHostDoor = {
      running: async () => (starts === 0 ? undefined : host),
      ensure: async () => {
        starts += 1;
        return host;
      },
      end: async () => host.stop(),
    };
    const parts = await openCloudParts(folder, (control) => control, { door });
    const publisher = generateSigningKey();
    return new EndpointWorld(parts, host, publisher, () => starts, await CliHarness.make());
  }

  async stop(): Promise<void> {
    await this.parts.stop();
    await this.cli.remove();
  }

  run(...args: readonly string[]): Promise<CliRun> {
    return this.cli.run(args, { url: this.parts.url, token: this.parts.token });
  }

  runAs(token: string, ...args: readonly string[]): Promise<CliRun> {
    return this.cli.run(args, { url: this.parts.url, token });
  }

  /** What it answers with `--output json`. @throws Error with what it said when it fails */
  async json<T>(...args: readonly string[]): Promise<T> {
    const { exit, stdout, stderr } = await this.run(...args, '--output', 'json');
    if (exit !== 0) throw new Error(`exit ${String(exit)}: ${stderr}`);
    return JSON.parse(stdout) as T;
  }

  /** The publisher of the world counts from now on. */
  async trust(): Promise<void> {
    const document = trustDocument(1, [this.publisher], [this.publisher], { workspace: 'default' });
    const version = { version: 1, envelope: signTrust(document, this.publisher) };
    await new TrustChain(this.parts.ground.control).add('default', version, at);
  }

  /** Registered and whole, as far as whoever deploys it looks. */
  async addImage(name: string, version: number, signer = this.publisher): Promise<string> {
    const example = exampleOf('module-manifest') as object;
    const module = moduleManifestSchema.parse({ ...example, name, description: `version ${String(version)}` });
    const moduleYaml = await this.put(encodeModuleManifest(module));
    const manifest = imageManifestSchema.parse(exampleOf('image-manifest'));
    const layers = manifest.layers.map((layer) =>
      layer.mediaType === mediaTypes.moduleManifest ? { ...layer, ...moduleYaml } : layer,
    );
    const { digest, size } = await this.put(Buffer.from(JSON.stringify({ ...manifest, layers })));
    const envelope = await this.put(encodeEnvelope(signImage({ schema: 1, digest, name, flavor: 'onnx' }, signer)));
    if (envelope.size > maxSignatureBytes) throw new Error('the signature is too large');
    await this.parts.ground.control
      .insertInto('images')
      .values({
        ...{ workspace: 'default', name, version, digest, manifestSize: size, flavor: 'onnx', size: 1000 },
        ...{ signatureDigest: envelope.digest, signatureSize: envelope.size, keyIdsJson: '[]', tagsJson: '{}' },
        ...{ createdAt: at, deletedAt: null },
      })
      .execute();
    return digest;
  }

  private async put(bytes: Uint8Array): Promise<{ digest: Digest; size: number }> {
    const { digest } = await this.parts.ground.store.put(Readable.from([bytes]), { maxBytes: bytes.length });
    return { digest, size: bytes.length };
  }
}
