/** The fleet half of a control plane over real files and a real database, with the broker left to the test. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { type DeviceKeys, makeDeviceKeys, sealingPublicKey, signingRequestFor } from '#agent/identity/device-keys.js';
import { systemClock, type Clock } from '#shared/kernel/clock.js';
import { buildChunkMap, encodeChunkMap } from '#shared/package/chunk-map.js';
import { digestOf } from '#shared/package/digest.js';
import { signEnvelope } from '#shared/package/dsse.js';
import { mediaTypes } from '#shared/package/media-types.js';
import { generateSigningKey, type SigningKey } from '#shared/package/signing-key.js';
import type { Digest } from '#shared/protocol/primitives.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import { AuditLog } from '#cloud/audit/audit-log.js';
import { DeploymentRepository } from '#cloud/fleet/deployment-repository.js';
import { DeviceRepository } from '#cloud/fleet/device-repository.js';
import { Certification } from '#cloud/fleet/certification.js';
import { ClaimOffice } from '#cloud/fleet/claim-office.js';
import { type EnrolledDevice, Enrolment } from '#cloud/fleet/enrolment.js';
import { FleetClaims } from '#cloud/fleet/fleet-claims.js';
import { KnownDevices } from '#cloud/fleet/known-devices.js';
import { OutboxRepository } from '#cloud/fleet/outbox-repository.js';
import { Renewal } from '#cloud/fleet/renewal.js';
import { Revocation } from '#cloud/fleet/revocation.js';
import { Twin } from '#cloud/fleet/twin.js';
import { type LiveEvent, LiveEvents } from '#cloud/live/live-events.js';
import type { Broker, MessageHandler, PublishOptions } from '#cloud/mqtt/broker.js';
import type { DeviceAccess } from '#cloud/mqtt/device-access.js';
import { BlobStore } from '#cloud/store/blob-store.js';
import { openControlDatabase, type ControlStore } from '#cloud/store/control-database.js';
import type { Director } from '#cloud/trust/director-keys.js';
import type { CertificateIssuer } from '#cloud/trust/certificate-issuer.js';
import { ensureInstallationIdentity, type InstallationIdentity } from '#cloud/trust/installation-identity.js';

const dayMs = 86_400_000;
export const silent = pino({ level: 'silent' });
export const capabilities = {
  agentVersion: '0.1.0',
  platform: 'linux-x64',
  cpus: 2,
  memoryBytes: 1024,
  accelerators: [],
  hostname: 'test',
};

/** A wall clock that only the test moves; monotonic time and sleeping are real. */
export class SetClock implements Clock {
  constructor(public nowMs = Date.parse('2026-01-01T00:00:00.000Z')) {}
  now = (): number => this.nowMs;
  monotonic = (): number => systemClock.monotonic();
  sleep = (ms: number, signal?: AbortSignal): Promise<void> => systemClock.sleep(ms, signal);
}

/** Keeps what was published; `fail` makes it refuse. */
export class RecordingBroker implements Broker {
  readonly published: { topic: string; payload: Buffer; options: PublishOptions }[] = [];
  connected = true;
  fail: ((topic: string) => Error | undefined) | undefined;
  private handler: MessageHandler = () => undefined;

  async open(): Promise<void> {}
  async publish(topic: string, payload: Buffer, options: PublishOptions): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    const error = this.fail?.(topic);
    if (error) throw error;
    this.published.push({ topic, payload, options });
  }
  onMessage(handler: MessageHandler): void {
    this.handler = handler;
  }
  say(topic: string, message: unknown): void {
    this.handler(topic, Buffer.from(JSON.stringify(message)));
  }
  isConnected(): boolean {
    return this.connected;
  }
  async close(): Promise<void> {}

  on(suffix: string): unknown[] {
    return this.published
      .filter(({ topic }) => topic.endsWith(`/${suffix}`))
      .map(({ payload }) => JSON.parse(payload.toString()) as unknown);
  }
}

/** What a device shows of its keys when it enrols. */
export async function showKeys(
  keys: DeviceKeys,
  workspace: string,
  device: string | undefined,
): Promise<{ readonly csr: string; readonly sealingKey: string }> {
  const csr = await signingRequestFor(keys.privateKey, device === undefined ? workspace : `${workspace}/${device}`);
  return { csr, sealingKey: sealingPublicKey(keys.sealingKey) };
}

/** Of the installation whose data folder this is. Its certificates hold from now on, by the real clock. */
export function identityIn(folder: string): Promise<InstallationIdentity> {
  return ensureInstallationIdentity({
    folder: join(folder, 'keys'),
    names: [],
    hostname: 'testhost',
    nowMs: Date.now(),
  });
}

export interface TestImage {
  readonly digest: Digest;
  readonly map: Digest;
  readonly blobs: { readonly digest: Digest; readonly bytes: Buffer }[];
}

export class FleetWorld {
  readonly director = generateSigningKey();
  /** The same key as the control plane's parts use it. */
  readonly signer = directorOf(this.director);
  readonly live: LiveEvents;
  readonly seen: LiveEvent[] = [];
  readonly known = new KnownDevices([]);
  readonly devices: DeviceRepository;
  readonly deployments: DeploymentRepository;
  readonly outbox: OutboxRepository;
  readonly enrolment: Enrolment;
  readonly renewal: Renewal;
  readonly revocation: Revocation;
  readonly claims: FleetClaims;
  readonly office: ClaimOffice;
  readonly audit: AuditLog;
  readonly twin: Twin;
  committed = 0;
  access: DeviceAccess = {
    enrolled: async () => undefined,
    retired: async () => undefined,
    revoked: async () => undefined,
    superseded: async () => undefined,
    authoritiesChanged: async () => undefined,
  };

  private constructor(
    readonly folder: string,
    readonly control: ControlStore,
    readonly store: BlobStore,
    readonly clock: SetClock,
    readonly issuer: CertificateIssuer,
  ) {
    this.live = new LiveEvents((error) => {
      throw error;
    });
    this.live.subscribe('w', (event) => this.seen.push(event));
    this.devices = new DeviceRepository(control);
    this.deployments = new DeploymentRepository(control);
    this.outbox = new OutboxRepository(control);
    const access: DeviceAccess = {
      enrolled: (address) => this.access.enrolled(address),
      retired: (address) => this.access.retired(address),
      revoked: (address, fingerprint) => this.access.revoked(address, fingerprint),
      superseded: (address, fingerprint) => this.access.superseded(address, fingerprint),
      authoritiesChanged: () => this.access.authoritiesChanged(),
    };
    // The test's clock stands still: it must hold by the real one too, which TLS asks.
    const certification = new Certification({ clock, issuer: () => issuer, certificateMs: 3650 * dayMs });
    this.claims = new FleetClaims(control, clock);
    this.office = new ClaimOffice(control, clock);
    this.audit = new AuditLog(control, clock, randomUUID);
    this.enrolment = new Enrolment({
      db: control,
      clock,
      known: this.known,
      live: this.live,
      access,
      certification,
      claims: this.claims,
      audit: this.audit,
    });
    this.renewal = new Renewal({
      db: control,
      clock,
      access,
      certification,
      issuer: () => issuer,
      graceMs: 180 * dayMs,
      audit: this.audit,
    });
    this.revocation = new Revocation({ db: control, clock, access });
    this.twin = this.twinWith(this.signer);
  }

  /** The twins as a director with other keys signs them. */
  twinWith(director: Director): Twin {
    return new Twin({
      db: this.control,
      devices: this.devices,
      deployments: this.deployments,
      outbox: this.outbox,
      director,
      clock: this.clock,
      newId: randomUUID,
      live: this.live,
      onCommitted: () => {
        this.committed += 1;
      },
    });
  }

  static async open(): Promise<FleetWorld> {
    const folder = await mkdtemp(join(tmpdir(), 'flotilla-fleet-'));
    const control = await openControlDatabase(join(folder, 'control.db'));
    const store = await BlobStore.open(join(folder, 'blobs'));
    const world = new FleetWorld(folder, control, store, new SetClock(), (await identityIn(folder)).issuer);
    for (const name of ['w', 'other']) {
      await control.insertInto('workspaces').values({ name, createdAt: '2026-01-01T00:00:00.000Z' }).execute();
    }
    return world;
  }

  async close(): Promise<void> {
    await this.control.destroy();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** With keys and a certificate, as a device has them. */
  async enrol(device: string, workspace = 'w'): Promise<EnrolledDevice & DeviceKeys> {
    const { secret } = await this.enrolment.createToken(workspace, 60_000, {});
    const keys = makeDeviceKeys();
    const order = { workspace, secret, device, tags: {}, capabilities, ...(await showKeys(keys, workspace, device)) };
    const enrolled = await this.enrolment.redeem(order, undefined);
    if (enrolled.kind !== 'enrolled') throw new Error('a token lets in at once');
    return { ...enrolled, ...keys };
  }

  /** An image of one or more layers with its chunk map, in the store and in the tables, unsigned. */
  async addImage(name: string, version: number, layers: readonly Buffer[], workspace = 'w'): Promise<TestImage> {
    const blobs: { digest: Digest; bytes: Buffer }[] = [];
    const put = async (bytes: Buffer): Promise<Digest> => {
      const { digest } = await this.store.put([bytes] as unknown as AsyncIterable<Uint8Array>, { maxBytes: 2 ** 30 });
      blobs.push({ digest, bytes });
      return digest;
    };
    for (const layer of layers) await put(layer);
    const sources = blobs.map(({ digest, bytes }) => ({
      digest,
      size: bytes.length,
      path: this.store.pathOf(digest),
      cuts: [],
    }));
    const map = await put(Buffer.from(encodeChunkMap(await buildChunkMap(sources))));
    const manifest = await put(Buffer.from(JSON.stringify({ name, version, map })));
    const signature = await put(Buffer.from(`signature of ${manifest}`));
    await this.control
      .insertInto('images')
      .values({
        workspace,
        name,
        version,
        digest: manifest,
        manifestSize: this.sizeOf(blobs, manifest),
        flavor: 'onnx',
        signatureDigest: signature,
        signatureSize: this.sizeOf(blobs, signature),
        keyIdsJson: '[]',
        tagsJson: '{}',
        size: 1,
        createdAt: '2026-01-01T00:00:00.000Z',
        deletedAt: null,
      })
      .execute();
    for (const [position, { digest, bytes }] of blobs.entries()) {
      await this.control
        .insertInto('imageBlobs')
        .values({
          workspace,
          imageDigest: manifest,
          digest,
          mediaType: digest === map ? mediaTypes.chunkMap : mediaTypes.weight,
          path: `f${String(position)}`,
          size: bytes.length,
          position,
        })
        .execute();
    }
    return { digest: manifest, map, blobs };
  }

  private sizeOf(blobs: TestImage['blobs'], digest: Digest): number {
    return blobs.find((blob) => blob.digest === digest)?.bytes.length ?? 0;
  }
}

/** A director with one key. */
export function directorOf(key: SigningKey): Director {
  return { sign: (type, payload) => signEnvelope(type, payload, key), keyIds: () => [key.keyId] };
}

export function bytesOf(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed * 2654435761;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export const addressOf = (device: string, workspace = 'w'): DeviceAddress => ({ workspace, device });
export { digestOf };

/** Waits for something that happens elsewhere; fails after 10 s with the description. */
export async function eventually(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 10_000;
  while (!(await check())) {
    if (performance.now() > endMs) throw new Error(`did not happen: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
