/**
 * Enrolment: one-time tokens, and the device that one of them makes. The token's use and the device's
 * creation are one transaction: of two devices with one token one wins, and a refused one costs nothing.
 */
import { createHash } from 'node:crypto';
import type { Selectable } from 'kysely';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { Capabilities, ReportedState } from '#shared/protocol/reported.js';
import { emptyReportedState } from '#shared/protocol/reported.js';
import type { Tags } from '#shared/protocol/primitives.js';
import { clientIdOf, type DeviceAddress } from '#shared/protocol/topics.js';
import type { DeviceAccess } from '#cloud/mqtt/device-access.js';
import type { EnrolmentTokenTable } from '#cloud/store/tables.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import type { CertificateIssuer } from '#cloud/trust/certificate-issuer.js';
import { newSecret } from '#cloud/trust/secret.js';
import { readSigningRequest, type SigningRequest } from '#cloud/trust/signing-request.js';
import { CertificateRepository } from './certificate-repository.js';
import type { Database } from './device-repository.js';
import type { KnownDevices } from './known-devices.js';

export interface EnrolmentOptions {
  readonly db: Database;
  readonly clock: Clock;
  readonly access: DeviceAccess;
  readonly known: KnownDevices;
  readonly live: LiveEvents;
  readonly issuer: CertificateIssuer;
  /** Of a device's certificate. */
  readonly certificateMs: number;
}

export interface EnrolmentOrder {
  readonly workspace: string;
  readonly secret: string;
  readonly device: string;
  /** PKCS #10, PEM. */
  readonly csr: string;
  /** A raw X25519 public key, base64url. */
  readonly sealingKey: string;
  readonly tags: Tags;
  readonly capabilities: Capabilities;
}

export interface EnrolledDevice {
  /** PEM, and what stands between it and the authority. */
  readonly certificate: string;
}

export class Enrolment {
  constructor(private readonly options: EnrolmentOptions) {}

  /** @returns the token's secret, which is stored nowhere */
  async createToken(workspace: string, ttlMs: number, tags: Tags): Promise<{ secret: string; expiresAt: string }> {
    const { db, clock } = this.options;
    const now = clock.now();
    const secret = newSecret();
    const expiresAt = toInstant(now + ttlMs);
    await db
      .insertInto('enrolmentTokens')
      .values({
        secretHash: hashOf(secret),
        workspace,
        tagsJson: JSON.stringify(tags),
        createdAt: toInstant(now),
        expiresAt,
        usedAt: null,
        usedBy: null,
      })
      .execute();
    return { secret, expiresAt };
  }

  async redeem(order: EnrolmentOrder): Promise<EnrolledDevice> {
    const { db, access, known, live } = this.options;
    const address = { workspace: order.workspace, device: order.device };
    // First what costs little: strangers get no further.
    await this.findToken(db, order);
    const request = await readSigningRequest(order.csr);
    requireSubject(request, address);
    const certificate = await db.transaction().execute(async (transaction) => {
      await this.create(transaction, order, request);
      return this.certify(transaction, address, request);
    });
    known.add(address);
    await access.enrolled(address);
    live.deviceChanged(address);
    return { certificate };
  }

  /** Removes tokens that can no longer be used. */
  async removeEndedTokens(before: string): Promise<void> {
    await this.options.db
      .deleteFrom('enrolmentTokens')
      .where((query) => query.or([query('expiresAt', '<', before), query('usedAt', '<', before)]))
      .execute();
  }

  /** The same token with the same key is the same device again: its first answer may have got lost. */
  private async create(transaction: Database, order: EnrolmentOrder, request: SigningRequest): Promise<void> {
    const now = toInstant(this.options.clock.now());
    const use = await this.useToken(transaction, order, request.keyFingerprint, now);
    if (use.again) return;
    const reported: ReportedState = { ...emptyReportedState, capabilities: order.capabilities };
    const inserted = await transaction
      .insertInto('devices')
      .values({
        workspace: order.workspace,
        name: order.device,
        sealingKey: order.sealingKey,
        // What the operator wrote into the token stands above what the device says of itself.
        tagsJson: JSON.stringify({ ...order.tags, ...use.tags }),
        enrolledAt: now,
        retiredAt: null,
        online: 0,
        presenceAt: null,
        presenceBootId: 0,
        desiredGeneration: 0,
        desiredEnvelope: null,
        desiredExpiresAt: null,
        reportedJson: JSON.stringify(reported),
        reportedBootId: 0,
        reportedSequence: 0,
        reportedAt: null,
      })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    if (inserted.numInsertedOrUpdatedRows === 1n) return;
    throw new AppError(
      'device.exists',
      `workspace ${order.workspace} has, or had, a device ${order.device}: choose another name; the token can still be used`,
    );
  }

  /** The certificate that this key has, or a new one. */
  private async certify(transaction: Database, address: DeviceAddress, request: SigningRequest): Promise<string> {
    const { issuer, clock, certificateMs } = this.options;
    const certificates = new CertificateRepository(transaction);
    const found = await certificates.findByKey(address, request.keyFingerprint);
    if (found !== undefined) return found.certificate;
    const nowMs = clock.now();
    const issued = await issuer.issueDevice(address, request.publicKey, { nowMs, lifetimeMs: certificateMs });
    await certificates.insert({
      ...address,
      serial: issued.serial,
      fingerprint: issued.fingerprint,
      keyFingerprint: request.keyFingerprint,
      authority: issuer.fingerprint,
      certificate: issued.certificate,
      issuedAt: toInstant(nowMs),
      notAfter: toInstant(issued.notAfterMs),
      revokedAt: null,
      reason: null,
    });
    return issued.certificate;
  }

  /** One that has not ended; it may have been used. */
  private async findToken(db: Database, order: EnrolmentOrder): Promise<Selectable<EnrolmentTokenTable>> {
    const token = await db
      .selectFrom('enrolmentTokens')
      .selectAll()
      .where('secretHash', '=', hashOf(order.secret))
      .where('workspace', '=', order.workspace)
      .executeTakeFirst();
    if (!token) {
      throw new AppError(
        'enrolment.token-invalid',
        `this enrolment token is not known in workspace ${order.workspace}: make one with flotilla device token`,
      );
    }
    if (token.expiresAt <= toInstant(this.options.clock.now())) {
      throw new AppError(
        'enrolment.token-expired',
        `this enrolment token ended at ${token.expiresAt}: make another with flotilla device token`,
      );
    }
    return token;
  }

  private async useToken(
    transaction: Database,
    order: EnrolmentOrder,
    usedKey: string,
    now: string,
  ): Promise<{ readonly tags: Tags; readonly again: boolean }> {
    const token = await this.findToken(transaction, order);
    const tags = JSON.parse(token.tagsJson) as Tags;
    if (token.usedAt !== null) {
      if (token.usedBy === order.device && token.usedKey === usedKey) return { tags, again: true };
      throw tokenUsed(token.usedBy);
    }
    const used = await transaction
      .updateTable('enrolmentTokens')
      .set({ usedAt: now, usedBy: order.device, usedKey })
      .where('secretHash', '=', token.secretHash)
      .where('usedAt', 'is', null)
      .executeTakeFirst();
    if (used.numUpdatedRows !== 1n) throw tokenUsed(null);
    return { tags, again: false };
  }
}

/** A request signed for another name is not this one's, whoever passed it on. */
function requireSubject(request: SigningRequest, address: DeviceAddress): void {
  if (request.commonName === clientIdOf(address)) return;
  throw new AppError(
    'enrolment.csr-invalid',
    `the certificate signing request is for ${request.commonName.slice(0, 130)}, not for ${clientIdOf(address)}`,
  );
}

function tokenUsed(by: string | null): AppError {
  return new AppError(
    'enrolment.token-used',
    `this enrolment token was used already${by === null ? '' : ` by ${by}`}: make another with flotilla device token`,
  );
}

/** The secret has 256 random bits: a plain digest is all it needs. */
function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
