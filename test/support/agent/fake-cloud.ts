/**
 * The control plane as a device sees it, on a real TLS broker with a real director's key: publishes
 * desired documents and commands, serves blocks from OCI layouts, keeps and acknowledges what devices
 * say. What it does wrong, on request, is what networks and disks do.
 */
import { generateKeyPairSync } from 'node:crypto';
import { createServer as createTlsServer, type Server } from 'node:tls';
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { Aedes, type AedesPublishPacket, type Client } from 'aedes';
import { CertificateIssuer } from '#cloud/trust/certificate-issuer.js';
import {
  createAuthority,
  createServerCertificate,
  fingerprintOf,
  type KeyedCertificate,
} from '#cloud/trust/certificates.js';
import { toInstant } from '#shared/kernel/clock.js';
import { decodeChunkMap, flattenChunks } from '#shared/package/chunk-map.js';
import { signEnvelope } from '#shared/package/dsse.js';
import { blobPath } from '#shared/package/oci-layout.js';
import { generateSigningKey, type SigningKey } from '#shared/package/signing-key.js';
import {
  type BlocksRequest,
  blocksRequestSchema,
  type BlockFrame,
  encodeFrame,
  maxChunkBytes,
  maxUnacknowledgedBytes,
} from '#shared/protocol/blocks.js';
import type { CommandRequest, CommandResponse } from '#shared/protocol/commands.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import type { Desired, DesiredModule, ImageReference } from '#shared/protocol/desired.js';
import { type Envelope, payloadTypes } from '#shared/protocol/envelope.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import type { Presence } from '#shared/protocol/presence.js';
import type { Digest } from '#shared/protocol/primitives.js';
import { applyPatch, emptyReportedState, type Reported, type ReportedState } from '#shared/protocol/reported.js';
import { judgeSequence, type SpooledKind } from '#shared/protocol/stream.js';
import {
  buildTopic,
  type Channel,
  channels,
  clientIdOf,
  type DeviceAddress,
  mayDevicePublish,
  mayDeviceSubscribe,
  parseTopic,
} from '#shared/protocol/topics.js';

export const address: DeviceAddress = { workspace: 'lab', device: 'cam-1' };

export interface Batch {
  readonly bootId: number;
  readonly sequence: number;
  readonly droppedFrom?: number;
  readonly [field: string]: unknown;
}

/** What a control plane knows of its device. */
export interface CloudMemory {
  readonly state: ReportedState;
  readonly reportedAt: { readonly bootId: number; readonly sequence: number };
  /** Of any message. */
  readonly lastBoot: number;
  /** Last sequence that is stored, by stream and boot. */
  readonly upTo: ReadonlyMap<string, number>;
}

/** What happens to a frame on its way: usually itself, once. */
export type FrameFate = (frame: BlockFrame, count: number) => BlockFrame[];

export class FakeCloud {
  readonly director: SigningKey = generateSigningKey();
  readonly publisher: SigningKey = generateSigningKey();
  readonly layouts: string[] = [];
  readonly requests: BlocksRequest[] = [];
  readonly reports: Reported[] = [];
  readonly responses: CommandResponse[] = [];
  readonly presences: Presence[] = [];
  /** Called as a device subscribes, and as its presence comes: before it is answered. */
  onMoment: (moment: 'subscribing' | 'presence') => void = () => undefined;
  /** Called after each message of the device was taken, and before it is answered over the network. */
  onTaken: () => void = () => undefined;
  readonly stored: Record<SpooledKind, Batch[]> = { telemetry: [], events: [], data: [] };
  readonly gaps: Record<SpooledKind, number> = { telemetry: 0, events: 0, data: 0 };
  readonly denied: string[] = [];
  state: ReportedState = emptyReportedState;
  /** Payload bytes of blocks that went out. */
  bytesServed = 0;
  frameFate: FrameFate = (frame) => [frame];
  acknowledgeStreams = true;
  acknowledgeReports = true;
  /** Blocks are answered only while this is true. */
  serveBlocks = true;
  desiredGets = 0;
  /** What devices asked of the trust document: above which version. */
  readonly trustGets: number[] = [];
  /** Versions 1, 2, … of the trust document, as signed. */
  readonly trustVersions: Envelope[] = [];
  private frames = 0;
  private sessions = new Map<number, { sent: number; acknowledged: number }>();
  private broker: Aedes | undefined;
  private server: Server | undefined;
  private usedPort = 0;
  private upTo = new Map<string, number>();
  private reportedAt = { bootId: 0, sequence: 0 };

  private constructor(
    private readonly authority: KeyedCertificate,
    private readonly certificate: KeyedCertificate,
  ) {}

  static async start(): Promise<FakeCloud> {
    const authority = await createAuthority(Date.now());
    const certificate = await createServerCertificate(authority, [controlPlaneServerName], Date.now());
    const cloud = new FakeCloud(authority, certificate);
    await cloud.listen();
    return cloud;
  }

  get authorityPem(): string {
    return this.authority.certificate;
  }

  get authorityPin(): string {
    return fingerprintOf(this.authority.certificate);
  }

  get issuer(): CertificateIssuer {
    return new CertificateIssuer(this.authority);
  }

  /** What the device proves itself with. */
  async deviceCertificate(): Promise<KeyedCertificate> {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const spki = publicKey.export({ format: 'der', type: 'spki' });
    const validity = { nowMs: Date.now(), lifetimeMs: 90 * 86_400_000 };
    const { certificate } = await this.issuer.issueDevice(address, spki, validity);
    return { certificate, privateKey: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString() };
  }

  get serverTls(): { key: string; cert: string } {
    return { key: this.certificate.privateKey, cert: this.certificate.certificate + this.authority.certificate };
  }

  get brokerUrl(): string {
    return `mqtts://127.0.0.1:${String(this.usedPort)}`;
  }

  async listen(): Promise<void> {
    const broker = await Aedes.createBroker({ concurrency: 10_000, drainTimeout: 1_000 });
    broker.authenticate = (client, _user, _password, done) => {
      if (client.id === clientIdOf(address)) done(null, true);
      else done(Object.assign(new Error('not this device'), { returnCode: 5 }), false);
    };
    broker.authorizePublish = (client, packet, done) => {
      if (client === null || mayDevicePublish(address, packet.topic)) return done(null);
      this.denied.push(packet.topic);
      done(new Error('denied'));
    };
    broker.authorizeSubscribe = (_client, subscription, done) => {
      this.onMoment('subscribing');
      done(null, mayDeviceSubscribe(address, subscription.topic) ? subscription : null);
    };
    broker.on('publish', (packet, client) => {
      this.take(packet, client);
      if (client !== null) this.onTaken();
    });
    const server = createTlsServer(
      { ...this.serverTls, ca: this.authorityPem, requestCert: true, rejectUnauthorized: true, noDelay: true },
      (socket) => broker.handle(socket),
    );
    await new Promise<void>((resolve) => server.listen(this.usedPort, '127.0.0.1', resolve));
    this.usedPort = (server.address() as AddressInfo).port;
    this.broker = broker;
    this.server = server;
  }

  /** Gone from the network, with all it had in memory but what is stored. */
  async close(): Promise<void> {
    const { broker, server } = this;
    this.broker = undefined;
    this.server = undefined;
    this.sessions.clear();
    if (broker !== undefined) await new Promise<void>((resolve) => broker.close(() => resolve()));
    await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  }

  get memory(): CloudMemory {
    const boots = this.presences.map(({ bootId }) => bootId);
    const lastBoot = Math.max(this.reportedAt.bootId, ...boots);
    return { state: this.state, reportedAt: this.reportedAt, lastBoot, upTo: new Map(this.upTo) };
  }

  /** Goes back to what it knew then, and has seen nothing since. */
  recall({ state, reportedAt, upTo }: CloudMemory): void {
    this.state = state;
    this.reportedAt = { ...reportedAt };
    this.upTo = new Map(upTo);
    this.gaps.telemetry = 0;
    this.gaps.events = 0;
    this.presences.length = 0;
  }

  desiredOf(generation: number, modules: Record<string, DesiredModule>, prefetch: ImageReference[] = []): Desired {
    const now = Date.now();
    return {
      schema: 1,
      ...address,
      generation,
      issuedAt: toInstant(now),
      expiresAt: toInstant(now + 86_400_000),
      modules,
      prefetch,
    };
  }

  publishDesired(desired: Desired, key: SigningKey = this.director): void {
    this.publish('desired', signEnvelope(payloadTypes.desired, encodeMessage(desired), key));
  }

  command(
    id: string,
    rest: Pick<CommandRequest, 'operation' | 'arguments'>,
    deadlineMs = 10_000,
    key = this.director,
  ): void {
    const now = Date.now();
    const request = {
      schema: 1,
      id,
      ...address,
      issuedAt: toInstant(now),
      deadline: toInstant(now + deadlineMs),
      ...rest,
    };
    this.publish('commandRequest', signEnvelope(payloadTypes.command, encodeMessage(request), key), id);
  }

  publish(channel: Channel, message: unknown, id?: string): void {
    this.publishBytes(channel, encodeMessage(message), id);
  }

  publishBytes(channel: Channel, payload: Uint8Array, id?: string): void {
    const { qos, retain } = channels[channel];
    const topic = buildTopic({ ...address, channel, ...(id === undefined ? {} : { id }) });
    const packet = { cmd: 'publish' as const, topic, payload: Buffer.from(payload), qos, retain, dup: false };
    this.broker?.publish(packet, () => undefined);
  }

  private take(packet: AedesPublishPacket, client: Client | null): void {
    const topic = parseTopic(packet.topic);
    if (topic === undefined || channels[topic.channel].from !== 'device') return;
    const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload;
    // A last will comes without its client.
    if (client === null && topic.channel !== 'presence') return;
    const message = JSON.parse(payload.toString('utf8')) as unknown;
    switch (topic.channel) {
      case 'blocksGet':
        if (this.serveBlocks) void this.serve(blocksRequestSchema.parse(message));
        break;
      case 'reported':
        this.takeReport(message as Reported);
        break;
      case 'presence':
        this.presences.push(message as Presence);
        this.onMoment('presence');
        break;
      case 'telemetry':
      case 'events':
      case 'data':
        this.store(topic.channel, message as Batch);
        break;
      case 'commandResponse':
        this.responses.push(message as CommandResponse);
        break;
      case 'desiredGet':
        this.desiredGets += 1;
        break;
      case 'trustGet':
        this.answerTrust(message as { after: number });
        break;
      case 'desired':
      case 'reportedGet':
      case 'acks':
      case 'commandRequest':
      case 'blocksData':
      case 'trustData':
        throw new Error(`not from a device: ${packet.topic}`);
    }
  }

  private answerTrust({ after }: { after: number }): void {
    this.trustGets.push(after);
    this.publishTrust(this.trustVersions.slice(after));
  }

  publishTrust(envelopes: readonly Envelope[]): void {
    this.publish('trustData', { schema: 1, newest: this.trustVersions.length, envelopes });
  }

  private takeReport(report: Reported): void {
    this.reports.push(report);
    if (!this.acknowledgeReports) return;
    if (
      report.base !== undefined &&
      (report.bootId !== this.reportedAt.bootId || report.base !== this.reportedAt.sequence)
    ) {
      this.publish('reportedGet', { schema: 1 });
      return;
    }
    this.state = applyPatch(report.base === undefined ? emptyReportedState : this.state, report.state);
    this.reportedAt = { bootId: report.bootId, sequence: report.sequence };
    this.publish('acks', { schema: 1, kind: 'reported', bootId: report.bootId, upTo: report.sequence });
  }

  private store(kind: SpooledKind, batch: Batch): void {
    if (!this.acknowledgeStreams) return;
    const key = `${kind}/${String(batch.bootId)}`;
    const upTo = this.upTo.get(key) ?? 0;
    const judgement = judgeSequence(batch, upTo);
    if (judgement === 'store') {
      this.stored[kind].push(batch);
      this.upTo.set(key, batch.sequence);
    } else if (judgement === 'gap') this.gaps[kind] += 1;
    this.publish('acks', { schema: 1, kind, bootId: batch.bootId, upTo: this.upTo.get(key) ?? 0 });
  }

  private async serve(request: BlocksRequest): Promise<void> {
    this.requests.push(request);
    const session = this.sessions.get(request.session) ?? { sent: 0, acknowledged: 0 };
    this.sessions.set(request.session, session);
    session.acknowledged = Math.max(session.acknowledged, request.acknowledged);
    for (const index of request.indexes) {
      const frame = await this.frameOf(request, index);
      if (frame.status === 'ok') {
        if (session.sent - session.acknowledged + frame.bytes.length > maxUnacknowledgedBytes) {
          this.send({ ...frame, status: 'busy', bytes: new Uint8Array() });
          continue;
        }
        session.sent += frame.bytes.length;
      }
      this.send(frame);
    }
  }

  private send(frame: BlockFrame): void {
    this.frames += 1;
    for (const one of this.frameFate(frame, this.frames)) {
      this.bytesServed += one.bytes.length;
      this.publishBytes('blocksData', encodeFrame(one));
    }
  }

  private async frameOf(request: BlocksRequest, index: number): Promise<BlockFrame> {
    const none = { request: request.request, index, offset: 0, total: 0, bytes: new Uint8Array() };
    if (request.source.kind === 'blob') {
      const bytes = await this.blob(request.source.digest);
      if (bytes === undefined) return { ...none, status: 'notFound' };
      const offset = index * maxChunkBytes;
      return {
        ...none,
        status: 'ok',
        offset,
        total: bytes.length,
        bytes: bytes.subarray(offset, offset + maxChunkBytes),
      };
    }
    const map = await this.blob(request.source.map);
    if (map === undefined) return { ...none, status: 'notFound' };
    const chunk = flattenChunks(decodeChunkMap(map))[index];
    if (chunk === undefined) return { ...none, status: 'outOfRange' };
    const blob = await this.blob(chunk.blob);
    if (blob === undefined) return { ...none, status: 'notFound' };
    return {
      ...none,
      status: 'ok',
      offset: chunk.offset,
      bytes: blob.subarray(chunk.offset, chunk.offset + chunk.length),
    };
  }

  private readonly blobs = new Map<Digest, Buffer>();

  private async blob(digest: Digest): Promise<Buffer | undefined> {
    const known = this.blobs.get(digest);
    if (known !== undefined) return known;
    for (const layout of this.layouts) {
      const bytes = await readFile(blobPath(layout, digest)).catch(() => undefined);
      if (bytes !== undefined) {
        this.blobs.set(digest, bytes);
        return bytes;
      }
    }
    return undefined;
  }
}

/** Waits until something is so. The reason it never is stands in the error. */
export async function until(what: string, check: () => boolean | Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!(await check())) {
    if (Date.now() > end) throw new Error(`never so: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
