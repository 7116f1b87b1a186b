/**
 * Enrolment: by a one-time token or a fleet claim to a device with a certificate. What the token or claim grants, the
 * device's creation, its certificate and the entry in the audit log are one transaction: of two devices with one token
 * one wins, and a refused one costs nothing.
 */
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError, type ErrorCode } from '#shared/kernel/errors.js';
import { emptyReportedState } from '#shared/protocol/reported.js';
import { type Tags, tagsSchema } from '#shared/protocol/primitives.js';
import { clientIdOf, type DeviceAddress } from '#shared/protocol/topics.js';
import type { AuditLog } from '#cloud/audit/audit-log.js';
import type { DeviceAccess } from '#cloud/mqtt/device-access.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import type { ControlStore, ControlTransaction } from '#cloud/store/control-database.js';
import { SharedCommits } from '#cloud/store/shared-commits.js';
import { readSigningRequest } from '#cloud/trust/signing-request.js';
import { CertificateRepository } from './certificate-repository.js';
import type { Certification } from './certification.js';
import { DeviceFacts } from './device-facts.js';
import { DeviceRepository } from './device-repository.js';
import { factsVersion } from './query/facts.js';
import type { Admission, EnrolmentOrder, Pending } from './enrolment-order.js';
import { type EnrolmentToken, EnrolmentTokens, type TokenLimits } from './enrolment-tokens.js';
import type { FleetClaim, FleetClaims } from './fleet-claims.js';
import type { KnownDevices } from './known-devices.js';

export interface EnrolmentOptions {
  readonly db: ControlStore;
  readonly clock: Clock;
  readonly access: DeviceAccess;
  readonly known: KnownDevices;
  readonly live: LiveEvents;
  readonly certification: Certification;
  readonly claims: FleetClaims;
  readonly audit: Pick<AuditLog, 'append'>;
}

export interface EnrolledDevice {
  readonly kind: 'enrolled';
  readonly device: string;
  /** PEM, and what stands between it and the authority. */
  readonly certificate: string;
  /** No boot of this device may have a number up to this: another machine of its name had them. */
  readonly bootIdAbove: number;
}

type Grant =
  | { readonly kind: 'token'; readonly token: EnrolmentToken }
  | { readonly kind: 'claim'; readonly claim: FleetClaim };

/** What a transaction left to be told to others. */
interface Made {
  readonly enrolled: EnrolledDevice;
  readonly address: DeviceAddress;
  readonly revoked: readonly string[];
}

export class Enrolment {
  readonly tokens: EnrolmentTokens;
  private readonly commits: SharedCommits;

  constructor(private readonly options: EnrolmentOptions) {
    this.commits = new SharedCommits(options.db);
    this.tokens = new EnrolmentTokens(options.db, options.clock);
  }

  /** @returns the token's secret, which is stored nowhere */
  createToken(workspace: string, ttlMs: number, limits: TokenLimits): Promise<{ secret: string; expiresAt: string }> {
    return this.tokens.create(workspace, ttlMs, limits);
  }

  /** For other hardware that takes the name of a device over. @throws AppError `device.not-found` */
  async createReplacement(address: DeviceAddress, ttlMs: number): Promise<{ secret: string; expiresAt: string }> {
    const device = await new DeviceRepository(this.options.db).find(address);
    if (device === undefined) {
      throw new AppError(
        'device.not-found',
        `there is no device ${address.device} in workspace ${address.workspace} that could be replaced: flotilla device token lets a new one in`,
      );
    }
    return this.tokens.create(address.workspace, ttlMs, { device: address.device, replaces: true });
  }

  /** @param from the address that it came from */
  async redeem(order: EnrolmentOrder, from: string | undefined): Promise<EnrolledDevice | Pending> {
    // First what costs little: strangers get no further, and fill no log.
    const grant = await this.findGrant(order);
    try {
      return await this.redeemGranted(grant, order, from);
    } catch (error) {
      if (error instanceof AppError && error.code !== 'rate.limited')
        await this.refused(grant, order, from, error.code);
      throw error;
    }
  }

  private async redeemGranted(
    grant: Grant,
    order: EnrolmentOrder,
    from: string | undefined,
  ): Promise<EnrolledDevice | Pending> {
    const { access, known, live, claims } = this.options;
    const request = await readSigningRequest(order.csr);
    const subject = order.device === undefined ? order.workspace : clientIdOf({ ...order, device: order.device });
    if (request.commonName !== subject) {
      throw new AppError(
        'enrolment.csr-invalid',
        `the certificate signing request is for ${request.commonName.slice(0, 130)}, not for ${subject}`,
      );
    }
    const made = await this.commits.run(async (transaction): Promise<Made | Pending> => {
      const key = request.keyFingerprint;
      const admission =
        grant.kind === 'token'
          ? await this.tokens.admit(transaction, grant.token, order, key)
          : await claims.admit(transaction, grant.claim, order, key);
      if (admission.kind === 'pending') return admission;
      const address = { workspace: order.workspace, device: admission.device };
      const { revoked, bootIdAbove } = await this.place(transaction, address, order, admission, key);
      const { certificate } = await this.options.certification.certify(transaction, address, request);
      await this.enter(transaction, address, admission, certificate.serial, from);
      const enrolled: EnrolledDevice = {
        kind: 'enrolled',
        device: admission.device,
        certificate: certificate.certificate,
        bootIdAbove,
      };
      return { enrolled, address, revoked };
    });
    if ('kind' in made) return made;
    const { address, revoked, enrolled } = made;
    known.add(address);
    for (const fingerprint of revoked) await access.revoked(address, fingerprint);
    await access.enrolled(address);
    live.deviceChanged(address);
    return enrolled;
  }

  private async findGrant({ workspace, secret }: EnrolmentOrder): Promise<Grant> {
    const token = await this.tokens.find(workspace, secret);
    if (token) return { kind: 'token', token };
    const claim = await this.options.claims.findBySecret(workspace, secret);
    if (claim) return { kind: 'claim', claim };
    throw new AppError(
      'enrolment.token-invalid',
      `this enrolment token is not known in workspace ${workspace}: make one with flotilla device token`,
    );
  }

  /** The device is there after this, new or taken over. @returns what was revoked on the way */
  private async place(
    transaction: ControlTransaction,
    address: DeviceAddress,
    order: EnrolmentOrder,
    admission: Admission,
    key: string,
  ): Promise<{ revoked: string[]; bootIdAbove: number }> {
    const now = toInstant(this.options.clock.now());
    const devices = new DeviceRepository(transaction);
    const present = await devices.find(address);
    const reported = { ...emptyReportedState, capabilities: order.capabilities };
    const fresh = {
      sealingKey: order.sealingKey,
      enrolledAt: now,
      retiredAt: null,
      online: 0,
      presenceAt: null,
      reportedJson: JSON.stringify(reported),
      reportedAt: null,
    };
    if (present === undefined) {
      await transaction
        .insertInto('devices')
        .values({
          ...fresh,
          workspace: address.workspace,
          name: address.device,
          tagsJson: JSON.stringify(admission.tags),
          presenceBootId: 0,
          desiredGeneration: 0,
          desiredEnvelope: null,
          desiredExpiresAt: null,
          reportedBootId: 0,
          reportedSequence: 0,
          factsVersion,
        })
        .execute();
      await new DeviceFacts(transaction).write(address, { tags: admission.tags, reported });
      return { revoked: [], bootIdAbove: 0 };
    }
    const bootIdAbove = Math.max(present.presenceBootId, present.reportedBootId);
    if (admission.again) {
      const standing = await new CertificateRepository(transaction).findByKey(address, key);
      if (present.retiredAt !== null || standing === undefined) throw noLonger(address);
      return { revoked: [], bootIdAbove };
    }
    if (!admission.replaces) throw nameTaken(address, present.retiredAt);
    const tags: Tags = { ...tagsSchema.parse(JSON.parse(present.tagsJson)), ...admission.tags };
    await devices.update(address, { ...fresh, tagsJson: JSON.stringify(tags) });
    const revoked = await new CertificateRepository(transaction).revoke(address, { at: now, reason: 'replaced' });
    return { revoked, bootIdAbove };
  }

  private async enter(
    transaction: ControlTransaction,
    address: DeviceAddress,
    { again, replaces, by }: Admission,
    serial: string,
    from: string | undefined,
  ): Promise<void> {
    if (again) return;
    await this.options.audit.append(
      {
        workspace: address.workspace,
        actor: { kind: 'device', id: clientIdOf(address) },
        from,
        action: replaces ? 'device.replaced' : 'device.enrolled',
        target: address.device,
        details: { by, serial },
        outcome: 'done',
      },
      transaction,
    );
  }

  private async refused(grant: Grant, order: EnrolmentOrder, from: string | undefined, code: ErrorCode): Promise<void> {
    const device = order.device ?? order.hardwareId ?? '?';
    await this.options.audit.append({
      workspace: order.workspace,
      actor: { kind: 'device', id: `${order.workspace}/${device}` },
      from,
      action: 'device.enrolled',
      target: device,
      details: { code, by: grant.kind === 'token' ? 'token' : `claim ${grant.claim.name}` },
      outcome: 'refused',
    });
  }
}

/** What was taken from this key is not given to it again. */
function noLonger({ device }: DeviceAddress): AppError {
  return new AppError(
    'certificate.revoked',
    `${device} was retired, replaced or revoked since it enrolled: get a token with flotilla device replace ${device}`,
  );
}

function nameTaken({ workspace, device }: DeviceAddress, retiredAt: string | null): AppError {
  return new AppError(
    'device.exists',
    retiredAt === null
      ? `workspace ${workspace} has a device ${device} already: choose another name, or let this machine take it over by a token of flotilla device replace ${device}; the present token can still be used`
      : `${device} in workspace ${workspace} was retired at ${retiredAt}: choose another name, or take it over by a token of flotilla device replace ${device}; the present token can still be used`,
  );
}
