/**
 * Enrolment: one-time tokens, and the device that one of them makes. The token's use and the device's
 * creation are one transaction: of two devices with one token one wins, and a refused one costs nothing.
 */
import { createHash } from 'node:crypto';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { Capabilities, ReportedState } from '#shared/protocol/reported.js';
import { emptyReportedState } from '#shared/protocol/reported.js';
import type { Tags } from '#shared/protocol/primitives.js';
import { hashPassword, newSecret } from '#cloud/mqtt/broker-password.js';
import type { DeviceAccess } from '#cloud/mqtt/device-access.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import type { Database } from './device-repository.js';
import type { KnownDevices } from './known-devices.js';

export interface EnrolmentOptions {
  readonly db: Database;
  readonly clock: Clock;
  readonly access: DeviceAccess;
  readonly known: KnownDevices;
  readonly live: LiveEvents;
}

export interface EnrolmentOrder {
  readonly workspace: string;
  readonly secret: string;
  readonly device: string;
  readonly tags: Tags;
  readonly capabilities: Capabilities;
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

  /** @returns the device's password on the broker, of which only a salted hash is stored */
  async redeem(order: EnrolmentOrder): Promise<string> {
    const { db, access, known, live } = this.options;
    const address = { workspace: order.workspace, device: order.device };
    const password = newSecret();
    const secretHash = await hashPassword(password);
    await db.transaction().execute((transaction) => this.create(transaction, order, secretHash));
    known.add(address);
    await access.enrolled(address);
    live.deviceChanged(address);
    return password;
  }

  /** Removes tokens that can no longer be used. */
  async removeEndedTokens(before: string): Promise<void> {
    await this.options.db
      .deleteFrom('enrolmentTokens')
      .where((query) => query.or([query('expiresAt', '<', before), query('usedAt', '<', before)]))
      .execute();
  }

  private async create(transaction: Database, order: EnrolmentOrder, secretHash: string): Promise<void> {
    const now = toInstant(this.options.clock.now());
    const tokenTags = await this.useToken(transaction, order, now);
    const reported: ReportedState = { ...emptyReportedState, capabilities: order.capabilities };
    const inserted = await transaction
      .insertInto('devices')
      .values({
        workspace: order.workspace,
        name: order.device,
        secretHash,
        // What the operator wrote into the token stands above what the device says of itself.
        tagsJson: JSON.stringify({ ...order.tags, ...tokenTags }),
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

  private async useToken(transaction: Database, order: EnrolmentOrder, now: string): Promise<Tags> {
    const secretHash = hashOf(order.secret);
    const token = await transaction
      .selectFrom('enrolmentTokens')
      .selectAll()
      .where('secretHash', '=', secretHash)
      .where('workspace', '=', order.workspace)
      .executeTakeFirst();
    if (!token) {
      throw new AppError(
        'enrolment.token-invalid',
        `this enrolment token is not known in workspace ${order.workspace}: make one with flotilla device token`,
      );
    }
    if (token.usedAt !== null) throw tokenUsed(token.usedBy);
    if (token.expiresAt <= now) {
      throw new AppError(
        'enrolment.token-expired',
        `this enrolment token ended at ${token.expiresAt}: make another with flotilla device token`,
      );
    }
    const used = await transaction
      .updateTable('enrolmentTokens')
      .set({ usedAt: now, usedBy: order.device })
      .where('secretHash', '=', secretHash)
      .where('usedAt', 'is', null)
      .executeTakeFirst();
    if (used.numUpdatedRows !== 1n) throw tokenUsed(null);
    return JSON.parse(token.tagsJson) as Tags;
  }
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
