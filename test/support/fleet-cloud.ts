/**
 * A control plane in this process, the `flotilla` command before it, and its database within reach: devices and
 * images are put there as enrolment, reports and registration would, without their ceremony.
 */
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pino } from 'pino';
import { imageManifestSchema } from '#shared/package/image-schema.js';
import { mediaTypes } from '#shared/package/media-types.js';
import { moduleManifestSchema } from '#shared/package/module-manifest.js';
import { encodeModuleManifest } from '#shared/package/read-manifest.js';
import type { Digest, Tags } from '#shared/protocol/primitives.js';
import { emptyReportedState, type ReportedState } from '#shared/protocol/reported.js';
import { loadConfig } from '#cloud/config.js';
import { DeviceRepository } from '#cloud/fleet/device-repository.js';
import { type RunningCloud, startCloud } from '#cloud/main.js';
import { BlobStore } from '#cloud/store/blob-store.js';
import { type ControlStore, openControlDatabase } from '#cloud/store/control-database.js';
import { exampleOf } from './examples.js';
import { CliHarness, type CliRun, type CliSetup } from './cli/cli-harness.js';

const at = '2026-01-01T00:00:00.000Z';

export interface DeviceGiven {
  readonly tags?: Tags;
  readonly reported?: Partial<ReportedState>;
  readonly online?: boolean;
  readonly retired?: boolean;
}

export class FleetCloud {
  private constructor(
    readonly cloud: RunningCloud,
    readonly db: ControlStore,
    private readonly store: BlobStore,
    private readonly cli: CliHarness,
  ) {}

  static async start(folder: string): Promise<FleetCloud> {
    const ports = { 'http-port': '0', 'gateway-port': '0', 'broker-port': '0' };
    const flags = { ...ports, 'data-dir': folder, 'http-tls': 'off' };
    const cloud = await startCloud(loadConfig({ flags, environment: {} }), pino({ level: 'silent' }), '0.0.0');
    const db = await openControlDatabase(join(folder, 'control.db'));
    return new FleetCloud(cloud, db, await BlobStore.open(join(folder, 'blobs')), await CliHarness.make());
  }

  async stop(): Promise<void> {
    await this.db.destroy();
    await this.cloud.stop();
    await this.cli.remove();
  }

  /** Runs `flotilla` as the owner. */
  run(...args: readonly string[]): Promise<CliRun> {
    return this.runAs(this.cloud.ownerToken ?? '', ...args);
  }

  runAs(token: string, ...args: readonly string[]): Promise<CliRun> {
    return this.cli.run(args, { url: this.cloud.addresses.http, token });
  }

  /** At a terminal, or with something else of the surroundings of its own. */
  runIn(setup: CliSetup, ...args: readonly string[]): Promise<CliRun> {
    return this.cli.run(args, { url: this.cloud.addresses.http, token: this.cloud.ownerToken ?? '', ...setup });
  }

  /** What it answers with `--output json`. @throws Error with what it said when it fails */
  async json<T>(...args: readonly string[]): Promise<T> {
    const { exit, stdout, stderr } = await this.run(...args, '--output', 'json');
    if (exit !== 0) throw new Error(`exit ${String(exit)}: ${stderr}`);
    return JSON.parse(stdout) as T;
  }

  async addDevice(name: string, { tags = {}, reported, online = false, retired = false }: DeviceGiven): Promise<void> {
    await this.db
      .insertInto('devices')
      .values({
        ...{ workspace: 'default', name, sealingKey: '', tagsJson: '{}', enrolledAt: at, presenceAt: null },
        ...{ presenceBootId: 0, desiredGeneration: 0, desiredEnvelope: null, desiredExpiresAt: null },
        ...{ reportedJson: JSON.stringify(emptyReportedState), reportedBootId: 0, reportedSequence: 0 },
        ...{ reportedAt: null, retiredAt: retired ? at : null, online: online ? 1 : 0, factsVersion: 1 },
      })
      .execute();
    await new DeviceRepository(this.db).update(
      { workspace: 'default', device: name },
      { tagsJson: JSON.stringify(tags), reportedJson: JSON.stringify({ ...emptyReportedState, ...reported }) },
    );
  }

  /** As when the device says so; whoever watches it is told. */
  async report(name: string, state: ReportedState): Promise<void> {
    const change = { reportedJson: JSON.stringify(state) };
    await new DeviceRepository(this.db).update({ workspace: 'default', device: name }, change);
    await this.run('device', 'tag', name, 'reported=again');
  }

  async digestOf(name: string, version: number): Promise<string> {
    const { digest } = await this.db
      .selectFrom('images')
      .select('digest')
      .where('name', '=', name)
      .where('version', '=', version)
      .executeTakeFirstOrThrow();
    return digest;
  }

  /** Its manifest and the manifest of its module are there, as whoever deploys it reads them. @returns its digest */
  async addImage(name: string, version: number): Promise<string> {
    const module = moduleManifestSchema.parse({
      ...(exampleOf('module-manifest') as object),
      ...{ name, description: `version ${String(version)}` },
    });
    const moduleYaml = await this.put(encodeModuleManifest(module));
    const manifest = imageManifestSchema.parse(exampleOf('image-manifest'));
    const layers = manifest.layers.map((layer) =>
      layer.mediaType === mediaTypes.moduleManifest ? { ...layer, ...moduleYaml } : layer,
    );
    const { digest, size } = await this.put(Buffer.from(JSON.stringify({ ...manifest, layers })));
    await this.db
      .insertInto('images')
      .values({
        ...{ workspace: 'default', name, version, digest, manifestSize: size, flavor: 'onnx', size: 1000 },
        ...{ signatureDigest: digest, signatureSize: 100, keyIdsJson: '[]', tagsJson: '{}' },
        ...{ createdAt: at, deletedAt: null },
      })
      .execute();
    return digest;
  }

  private async put(bytes: Uint8Array): Promise<{ digest: Digest; size: number }> {
    const { digest } = await this.store.put(Readable.from([bytes]), { maxBytes: bytes.length });
    return { digest, size: bytes.length };
  }
}
