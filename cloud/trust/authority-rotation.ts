/** The rotation of the certificate authority, as an operator's steps; where it stands is in the key files alone. */
import { AppError } from '#shared/kernel/errors.js';
import { clientIdOf, type DeviceAddress } from '#shared/protocol/topics.js';
import type { Clock } from '#shared/kernel/clock.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import { beginSuccession, finishSuccession } from './authority-succession.js';
import { fingerprintOf } from './certificates.js';
import type { LivingIdentity } from './living-identity.js';
import type { TrustChain } from './trust-chain.js';
import { devicesUnaware, namedInShort } from './trust-knowledge.js';

export interface AuthorityRotationState {
  /** SHA-256 of the root that enrolment tokens and logins pin, hex. */
  readonly current: string;
  /** SHA-256 of the one that signs, and is to take its place. */
  readonly next?: string;
}

/** A device that would be lost if the old authority went now. */
export interface WaitingDevice extends DeviceAddress {
  /** Its trust document names no next authority, or its certificate comes from the old one. */
  readonly lacks: 'trust' | 'certificate';
}

export interface AuthorityRotationOptions {
  readonly db: Database;
  readonly chain: TrustChain;
  /** Of the keys. */
  readonly folder: string;
  readonly identity: LivingIdentity;
  readonly clock: Clock;
}

export class AuthorityRotation {
  constructor(private readonly options: AuthorityRotationOptions) {}

  state(): AuthorityRotationState {
    const { authorities, authorityFingerprint: current } = this.options.identity.current;
    const [next = ''] = authorities;
    return authorities.length > 1 ? { current, next: fingerprintOf(next) } : { current };
  }

  /** Again, it does the same: who lost the first answer may ask twice. @throws AppError `trust.invalid` */
  async begin(): Promise<AuthorityRotationState> {
    const { folder, identity, clock } = this.options;
    await beginSuccession(folder, identity.current.seal, clock.now());
    await identity.refresh();
    return this.state();
  }

  /** @throws AppError `trust.not-yet` that names the devices which would be lost, unless forced */
  async finish(force: boolean): Promise<AuthorityRotationState> {
    const { folder, identity } = this.options;
    if (this.state().next === undefined) {
      throw new AppError(
        'trust.not-yet',
        'no rotation of the authority is under way: flotilla trust rotate authority --begin makes the next one',
      );
    }
    const waiting = force ? [] : (await this.waiting()).map(clientIdOf);
    if (waiting.length > 0) {
      throw new AppError(
        'trust.not-yet',
        `${String(waiting.length)} devices depend on the old authority: ${namedInShort(waiting)}. A trust document that names the ` +
          'next one comes first (flotilla trust propose --publish); each then renews its certificate, those that are offline when they come ' +
          'back. flotilla trust status shows them; --force goes on, and those that do not know the next authority must be enrolled anew',
        { details: { devices: waiting } },
      );
    }
    await finishSuccession(folder);
    await identity.refresh();
    return this.state();
  }

  /** In order; none while no rotation is under way. */
  async waiting(workspace?: string): Promise<WaitingDevice[]> {
    const { db, chain, identity } = this.options;
    const { authorities, issuer } = identity.current;
    const [next = ''] = authorities;
    if (authorities.length < 2) return [];
    const unaware = await devicesUnaware(db, chain, (document) => document.authorities.includes(next));
    const uncertified = await db
      .selectFrom('devices')
      .select(['devices.workspace', 'devices.name'])
      .where('devices.retiredAt', 'is', null)
      .where(({ not, exists, selectFrom }) =>
        not(
          exists(
            selectFrom('deviceCertificates')
              .select('serial')
              .whereRef('deviceCertificates.workspace', '=', 'devices.workspace')
              .whereRef('deviceCertificates.device', '=', 'devices.name')
              .where('deviceCertificates.authority', '=', issuer.fingerprint)
              .where('deviceCertificates.revokedAt', 'is', null),
          ),
        ),
      )
      .execute();
    const found = new Map<string, WaitingDevice>();
    for (const { workspace: of, name } of uncertified) {
      found.set(`${of}/${name}`, { workspace: of, device: name, lacks: 'certificate' });
    }
    for (const address of unaware) found.set(clientIdOf(address), { ...address, lacks: 'trust' });
    const all = [...found.values()].sort((a, b) => (clientIdOf(a) < clientIdOf(b) ? -1 : 1));
    return workspace === undefined ? all : all.filter((one) => one.workspace === workspace);
  }
}
