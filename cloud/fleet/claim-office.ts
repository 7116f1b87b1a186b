/** What operators do with fleet claims: look at them, end them, and decide about devices that wait. */
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { inOrderOf, type Page, type PageKey, type PageRequest } from '#cloud/store/page.js';
import type { Database } from './device-repository.js';
import { type ClaimRequest, countTaken, type FleetClaim, requireClaim } from './fleet-claims.js';

interface CountedClaim {
  readonly claim: FleetClaim;
  readonly taken: number;
  readonly pending: number;
}

const claimKey: PageKey<'name'> = [{ column: 'name', type: 'string' }];
const requestKey: PageKey<'requestedAt' | 'id'> = [
  { column: 'requestedAt', type: 'string' },
  { column: 'id', type: 'string' },
];

export class ClaimOffice {
  constructor(
    private readonly db: Database,
    private readonly clock: Clock,
  ) {}

  /** By name; `taken` counts devices that came or wait. */
  async list(workspace: string, page: PageRequest): Promise<Page<CountedClaim>> {
    const claims = this.db.selectFrom('fleetClaims').selectAll().where('workspace', '=', workspace);
    const { items, ...rest } = await inOrderOf(claims, claimKey, page);
    const counted = items.map(async (claim) => ({
      claim,
      taken: await countTaken(this.db, claim),
      pending: await this.countPending(claim),
    }));
    return { ...rest, items: await Promise.all(counted) };
  }

  /** It lets nobody in any more; who came stays. */
  async revoke(workspace: string, name: string): Promise<FleetClaim> {
    const claim = await requireClaim(this.db, workspace, name);
    if (claim.revokedAt !== null) return claim;
    const revokedAt = toInstant(this.clock.now());
    await this.db
      .updateTable('fleetClaims')
      .set({ revokedAt })
      .where('workspace', '=', workspace)
      .where('name', '=', name)
      .execute();
    return { ...claim, revokedAt };
  }

  /** The oldest first. */
  async requests(
    workspace: string,
    name: string,
    state: ClaimRequest['state'],
    page: PageRequest,
  ): Promise<Page<ClaimRequest>> {
    await requireClaim(this.db, workspace, name);
    const all = this.db
      .selectFrom('claimRequests')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('claim', '=', name)
      .where('state', '=', state);
    return inOrderOf(all, requestKey, page);
  }

  /**
   * Decides about one that waits, by its id or the device's name; `all` about every one that waits now.
   * @returns those that were decided
   */
  async decide(
    workspace: string,
    name: string,
    who: { readonly device: string } | 'all',
    verdict: { readonly state: 'approved' } | { readonly state: 'rejected'; readonly reason: string },
  ): Promise<string[]> {
    return this.db.transaction().execute(async (transaction) => {
      await requireClaim(transaction, workspace, name);
      const change = {
        state: verdict.state,
        decidedAt: toInstant(this.clock.now()),
        reason: 'reason' in verdict ? verdict.reason : null,
      };
      const waiting = transaction
        .updateTable('claimRequests')
        .set(change)
        .where('workspace', '=', workspace)
        .where('claim', '=', name)
        .where('state', '=', 'pending');
      const chosen = who === 'all' ? waiting : waiting.where('device', '=', who.device);
      const decided = await chosen.returning(['device', 'hardwareId', 'keyFingerprint']).execute();
      if (decided.length === 0 && who !== 'all') {
        throw new AppError(
          'claim.not-found',
          `no device ${who.device} waits with the claim ${name}: flotilla device claim pending ${name} lists who does`,
        );
      }
      if (verdict.state === 'rejected') {
        // Its hardware may come again, with a key that is not rejected.
        const keys = decided.map(({ keyFingerprint }) => keyFingerprint);
        await transaction
          .updateTable('claimHardware')
          .set({ keyFingerprint: null })
          .where('workspace', '=', workspace)
          .where('claim', '=', name)
          .where('keyFingerprint', 'in', keys)
          .execute();
      }
      return decided.map(({ device }) => device);
    });
  }

  private async countPending({ workspace, name }: FleetClaim): Promise<number> {
    const { count } = await this.db
      .selectFrom('claimRequests')
      .select((query) => query.fn.countAll<number>().as('count'))
      .where('workspace', '=', workspace)
      .where('claim', '=', name)
      .where('state', '=', 'pending')
      .executeTakeFirstOrThrow();
    return Number(count);
  }
}
