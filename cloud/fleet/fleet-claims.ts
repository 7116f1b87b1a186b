/**
 * Fleet claims: one secret that lets many devices in, for mass enrolment. Counted, slowed down, ended by time or by
 * hand, and where it says so each device waits for a person, or must be on a list of hardware.
 *
 * A device is known by its key: asked again with the same key it is the same request. Every request but a rejected one
 * takes one of the claim's places, so that nobody can make a queue without end.
 */
import { randomUUID } from 'node:crypto';
import type { Selectable } from 'kysely';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { Tags } from '#shared/protocol/primitives.js';
import { TokenBuckets } from '#cloud/gateway/token-bucket.js';
import { newSecret } from '#cloud/trust/secret.js';
import type { ClaimRequestTable, FleetClaimTable } from '#cloud/store/tables.js';
import type { Database } from './device-repository.js';
import { type Admission, type EnrolmentOrder, hashOfSecret, type Pending } from './enrolment-order.js';
import { faultOfTemplate, nameFrom } from './name-template.js';
import { tagsFor } from './tag-limits.js';

export type FleetClaim = Selectable<FleetClaimTable>;
export type ClaimRequest = Selectable<ClaimRequestTable>;

export interface ClaimTerms {
  readonly name: string;
  readonly ttlMs: number;
  readonly maxDevices: number;
  readonly approval: boolean;
  readonly ratePerSecond: number;
  readonly tags: Tags;
  readonly allowTags: readonly string[];
  readonly nameTemplate?: string | undefined;
  /** Absent: any. */
  readonly hardwareIds?: readonly string[] | undefined;
}

/** So many devices of a batch that is switched on together are let in at once. */
const burst = 20;

export class FleetClaims {
  private readonly rates = new Map<string, { readonly perSecond: number; readonly buckets: TokenBuckets }>();

  constructor(
    private readonly db: Database,
    private readonly clock: Clock,
  ) {}

  /** @returns the claim's secret, which is stored nowhere. @throws AppError `claim.exists`, `request.invalid` */
  async create(workspace: string, terms: ClaimTerms): Promise<{ secret: string; claim: FleetClaim }> {
    const { nameTemplate, hardwareIds } = terms;
    const fault = nameTemplate === undefined ? undefined : faultOfTemplate(nameTemplate);
    if (fault !== undefined) throw new AppError('request.invalid', `the name template ${fault}`);
    const nowMs = this.clock.now();
    const secret = newSecret();
    const claim: FleetClaim = {
      workspace,
      name: terms.name,
      secretHash: hashOfSecret(secret),
      tagsJson: JSON.stringify(terms.tags),
      allowTagsJson: JSON.stringify(terms.allowTags),
      nameTemplate: nameTemplate ?? null,
      maxDevices: terms.maxDevices,
      approval: terms.approval ? 1 : 0,
      ratePerSecond: terms.ratePerSecond,
      hardwareListed: hardwareIds === undefined ? 0 : 1,
      createdAt: toInstant(nowMs),
      expiresAt: toInstant(nowMs + terms.ttlMs),
      revokedAt: null,
    };
    await this.db.transaction().execute(async (transaction) => {
      const inserted = await transaction
        .insertInto('fleetClaims')
        .values(claim)
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst();
      if (inserted.numInsertedOrUpdatedRows !== 1n) {
        throw new AppError(
          'claim.exists',
          `workspace ${workspace} has, or had, a claim ${terms.name}: choose another name`,
        );
      }
      for (const hardwareId of new Set(hardwareIds)) {
        const row = { workspace, claim: terms.name, hardwareId, keyFingerprint: null };
        await transaction.insertInto('claimHardware').values(row).execute();
      }
    });
    return { secret, claim };
  }

  async findBySecret(workspace: string, secret: string): Promise<FleetClaim | undefined> {
    return this.db
      .selectFrom('fleetClaims')
      .selectAll()
      .where('secretHash', '=', hashOfSecret(secret))
      .where('workspace', '=', workspace)
      .executeTakeFirst();
  }

  /** Within the transaction that makes the device, where there is to be one. @throws AppError that says why not */
  async admit(
    transaction: Database,
    { workspace, name }: FleetClaim,
    order: EnrolmentOrder,
    key: string,
  ): Promise<Admission | Pending> {
    const claim = await requireClaim(transaction, workspace, name);
    const now = toInstant(this.clock.now());
    if (claim.revokedAt !== null) {
      throw new AppError(
        'enrolment.token-invalid',
        `the claim ${name} was revoked at ${claim.revokedAt}: ask for another`,
      );
    }
    if (claim.expiresAt <= now) {
      throw new AppError('enrolment.token-expired', `the claim ${name} ended at ${claim.expiresAt}: ask for another`);
    }
    const found = await transaction
      .selectFrom('claimRequests')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('claim', '=', name)
      .where('keyFingerprint', '=', key)
      .executeTakeFirst();
    const request = found ?? (await this.enter(transaction, claim, order, key, now));
    const tags = tagsFor(termsOf(claim), order.tags);
    if (!tags.ok) throw notAllowed(`the claim ${name} ${tags.error}`);
    switch (request.state) {
      case 'pending':
        return { kind: 'pending', request: request.id };
      case 'rejected':
        throw new AppError(
          'enrolment.rejected',
          `${request.device} was rejected${request.reason === null ? '' : `: ${request.reason}`}`,
        );
      case 'approved':
      case 'enrolled': {
        await update(transaction, request, { state: 'enrolled' });
        const again = request.state === 'enrolled';
        return {
          kind: 'admitted',
          device: request.device,
          tags: tags.value,
          again,
          replaces: false,
          by: `claim ${name}`,
        };
      }
    }
  }

  /** A first request: it takes a place, and says its name and its hardware for good. */
  private async enter(
    transaction: Database,
    claim: FleetClaim,
    order: EnrolmentOrder,
    key: string,
    now: string,
  ): Promise<ClaimRequest> {
    const device = deviceNameFor(claim, order);
    const tags = tagsFor(termsOf(claim), order.tags);
    if (!tags.ok) throw notAllowed(`the claim ${claim.name} ${tags.error}`);
    this.takeRate(claim);
    if (claim.hardwareListed === 1) await takeHardware(transaction, claim, order, key);
    if ((await countTaken(transaction, claim)) >= claim.maxDevices) {
      throw new AppError(
        'claim.full',
        `the claim ${claim.name} has let in, or queued, all of its ${String(claim.maxDevices)} devices: ask for another`,
      );
    }
    const request: ClaimRequest = {
      workspace: claim.workspace,
      claim: claim.name,
      keyFingerprint: key,
      id: randomUUID(),
      device,
      hardwareId: order.hardwareId ?? null,
      state: claim.approval === 1 ? 'pending' : 'approved',
      requestedAt: now,
      decidedAt: null,
      reason: null,
    };
    await transaction.insertInto('claimRequests').values(request).execute();
    return request;
  }

  private takeRate({ workspace, name, ratePerSecond }: FleetClaim): void {
    const id = `${workspace}/${name}`;
    const known = this.rates.get(id);
    const limits = { burst: Math.max(burst, Math.ceil(ratePerSecond)), perSecond: ratePerSecond, maxAddresses: 1 };
    const { buckets } = known ?? { buckets: new TokenBuckets(limits) };
    if (!known) this.rates.set(id, { perSecond: ratePerSecond, buckets });
    const waitMs = buckets.take(id, this.clock.monotonic());
    if (waitMs === 0) return;
    throw new AppError(
      'rate.limited',
      `the claim ${name} lets in ${String(ratePerSecond)} devices a second: wait a moment`,
      {
        details: { retryAfterSeconds: Math.ceil(waitMs / 1000) },
      },
    );
  }
}

export async function requireClaim(db: Database, workspace: string, name: string): Promise<FleetClaim> {
  const claim = await db
    .selectFrom('fleetClaims')
    .selectAll()
    .where('workspace', '=', workspace)
    .where('name', '=', name)
    .executeTakeFirst();
  if (claim) return claim;
  throw new AppError(
    'claim.not-found',
    `there is no claim ${name} in workspace ${workspace}: flotilla device claim list shows what there is`,
  );
}

/** Requests that take a place. */
export async function countTaken(db: Database, { workspace, name }: FleetClaim): Promise<number> {
  const { count } = await db
    .selectFrom('claimRequests')
    .select((query) => query.fn.countAll<number>().as('count'))
    .where('workspace', '=', workspace)
    .where('claim', '=', name)
    .where('state', '!=', 'rejected')
    .executeTakeFirstOrThrow();
  return Number(count);
}

async function update(
  db: Database,
  { workspace, claim, keyFingerprint }: ClaimRequest,
  change: Partial<ClaimRequest>,
): Promise<void> {
  await db
    .updateTable('claimRequests')
    .set(change)
    .where('workspace', '=', workspace)
    .where('claim', '=', claim)
    .where('keyFingerprint', '=', keyFingerprint)
    .execute();
}

function termsOf({ tagsJson, allowTagsJson }: FleetClaim): { tags: Tags; allowTags: string[] } {
  return { tags: JSON.parse(tagsJson) as Tags, allowTags: JSON.parse(allowTagsJson) as string[] };
}

function deviceNameFor({ name, nameTemplate }: FleetClaim, { device, hardwareId }: EnrolmentOrder): string {
  if (nameTemplate === null) {
    if (device !== undefined) return device;
    throw notAllowed(`the claim ${name} gives no names: enrol with --name`);
  }
  if (device !== undefined) throw notAllowed(`the claim ${name} names its devices itself: enrol without --name`);
  if (hardwareId === undefined)
    throw notAllowed(`the claim ${name} names devices by their hardware: enrol with --hardware-id`);
  const named = nameFrom(nameTemplate, hardwareId);
  if (named.ok) return named.value;
  throw notAllowed(`the hardware id ${named.error}: enrol with another --hardware-id`);
}

async function takeHardware(
  transaction: Database,
  claim: FleetClaim,
  { hardwareId }: EnrolmentOrder,
  key: string,
): Promise<void> {
  if (hardwareId === undefined)
    throw notAllowed(`the claim ${claim.name} lists its hardware: enrol with --hardware-id`);
  const listed = await transaction
    .selectFrom('claimHardware')
    .selectAll()
    .where('workspace', '=', claim.workspace)
    .where('claim', '=', claim.name)
    .where('hardwareId', '=', hardwareId)
    .executeTakeFirst();
  if (listed === undefined)
    throw notAllowed(`the hardware ${hardwareId.slice(0, 80)} is not on the list of the claim ${claim.name}`);
  if (listed.keyFingerprint !== null) {
    throw notAllowed(
      `the hardware ${hardwareId.slice(0, 80)} has come with the claim ${claim.name} before, with another key`,
    );
  }
  await transaction
    .updateTable('claimHardware')
    .set({ keyFingerprint: key })
    .where('workspace', '=', claim.workspace)
    .where('claim', '=', claim.name)
    .where('hardwareId', '=', hardwareId)
    .execute();
}

function notAllowed(message: string): AppError {
  return new AppError('enrolment.not-allowed', message);
}
