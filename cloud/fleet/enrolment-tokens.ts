/** One-time tokens: each lets one device in, once, while it lasts, with the name and the tags that it says. */
import type { Selectable } from 'kysely';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { Tags } from '#shared/protocol/primitives.js';
import { newSecret } from '#cloud/trust/secret.js';
import type { EnrolmentTokenTable } from '#cloud/store/tables.js';
import type { Database } from './device-repository.js';
import { type Admission, type EnrolmentOrder, hashOfSecret } from './enrolment-order.js';
import { tagsFor } from './tag-limits.js';

export type EnrolmentToken = Selectable<EnrolmentTokenTable>;

export interface TokenLimits {
  readonly tags?: Tags;
  readonly allowTags?: readonly string[] | undefined;
  /** The only name that may enrol with it. */
  readonly device?: string | undefined;
  /** It takes the name over. */
  readonly replaces?: boolean;
}

export class EnrolmentTokens {
  constructor(
    private readonly db: Database,
    private readonly clock: Clock,
  ) {}

  /** @returns the token's secret, which is stored nowhere */
  async create(
    workspace: string,
    ttlMs: number,
    { tags = {}, allowTags = [], device, replaces = false }: TokenLimits,
  ): Promise<{ secret: string; expiresAt: string }> {
    const now = this.clock.now();
    const secret = newSecret();
    const expiresAt = toInstant(now + ttlMs);
    await this.db
      .insertInto('enrolmentTokens')
      .values({
        secretHash: hashOfSecret(secret),
        workspace,
        tagsJson: JSON.stringify(tags),
        allowTagsJson: JSON.stringify(allowTags),
        device: device ?? null,
        replaces: replaces ? 1 : 0,
        createdAt: toInstant(now),
        expiresAt,
        usedAt: null,
        usedBy: null,
        usedKey: null,
      })
      .execute();
    return { secret, expiresAt };
  }

  async find(workspace: string, secret: string): Promise<EnrolmentToken | undefined> {
    return this.db
      .selectFrom('enrolmentTokens')
      .selectAll()
      .where('secretHash', '=', hashOfSecret(secret))
      .where('workspace', '=', workspace)
      .executeTakeFirst();
  }

  /** Uses it up, within the transaction that makes the device. @throws AppError that says why not */
  async admit(
    transaction: Database,
    { secretHash }: EnrolmentToken,
    order: EnrolmentOrder,
    key: string,
  ): Promise<Admission> {
    const token = await transaction
      .selectFrom('enrolmentTokens')
      .selectAll()
      .where('secretHash', '=', secretHash)
      .executeTakeFirstOrThrow();
    const now = toInstant(this.clock.now());
    const { device } = order;
    if (device === undefined)
      throw new AppError('request.invalid', 'a device with a one-time token says its name: --name');
    if (token.expiresAt <= now) {
      throw new AppError(
        'enrolment.token-expired',
        `this enrolment token ended at ${token.expiresAt}: make another with flotilla device token`,
      );
    }
    if (token.device !== null && token.device !== device) {
      throw notAllowed(
        `this enrolment token is for ${token.device}, not for ${device}: enrol with --name ${token.device}`,
      );
    }
    const tags = tagsFor(
      { tags: read(token.tagsJson) as Tags, allowTags: read(token.allowTagsJson) as string[] },
      order.tags,
    );
    if (!tags.ok) throw notAllowed(`this enrolment token ${tags.error}`);
    const admission: Admission = {
      kind: 'admitted',
      device,
      tags: tags.value,
      again: token.usedAt !== null,
      replaces: token.replaces === 1,
      by: 'token',
    };
    if (token.usedAt !== null) {
      if (token.usedBy === device && token.usedKey === key) return admission;
      throw new AppError(
        'enrolment.token-used',
        `this enrolment token was used already${token.usedBy === null ? '' : ` by ${token.usedBy}`}: make another with flotilla device token`,
      );
    }
    await transaction
      .updateTable('enrolmentTokens')
      .set({ usedAt: now, usedBy: device, usedKey: key })
      .where('secretHash', '=', secretHash)
      .execute();
    return admission;
  }

  /** Removes those that can no longer be used. */
  async removeEnded(before: string): Promise<void> {
    await this.db
      .deleteFrom('enrolmentTokens')
      .where((query) => query.or([query('expiresAt', '<', before), query('usedAt', '<', before)]))
      .execute();
  }
}

function notAllowed(message: string): AppError {
  return new AppError('enrolment.not-allowed', message);
}

function read(json: string): unknown {
  return JSON.parse(json);
}
