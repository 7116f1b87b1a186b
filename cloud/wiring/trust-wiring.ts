/** Whom devices trust: the chain of trust documents, the director's keys, and what follows when either changes. */
import { DesiredUpkeep } from '#cloud/fleet/desired-upkeep.js';
import type { DeviceRepository } from '#cloud/fleet/device-repository.js';
import type { OutboxRepository } from '#cloud/fleet/outbox-repository.js';
import type { Twin } from '#cloud/fleet/twin.js';
import { trustRoutes } from '#cloud/http/routes/trust-routes.js';
import type { Routes } from '#cloud/http/app.js';
import { fingerprintOf } from '#cloud/trust/certificates.js';
import { AuthorityRotation } from '#cloud/trust/authority-rotation.js';
import { DirectorKeys } from '#cloud/trust/director-keys.js';
import { DirectorRotation } from '#cloud/trust/director-rotation.js';
import type { InstallationIdentity } from '#cloud/trust/installation-identity.js';
import type { LivingIdentity } from '#cloud/trust/living-identity.js';
import { TrustChain } from '#cloud/trust/trust-chain.js';
import { TrustPublishing } from '#cloud/trust/trust-publishing.js';
import type { Ground } from './ground.js';
import { keysFolder } from './identity-wiring.js';

export async function openDirector({ config }: Ground, identity: InstallationIdentity): Promise<DirectorKeys> {
  return DirectorKeys.open(keysFolder(config), identity.director, identity.seal);
}

export interface TrustNeeds {
  readonly identity: LivingIdentity;
  readonly director: DirectorKeys;
  readonly devices: DeviceRepository;
  readonly outbox: OutboxRepository;
  readonly twin: Twin;
  readonly onCommitted: () => void;
}

export interface WiredTrust {
  readonly publishing: TrustPublishing;
  readonly upkeep: DesiredUpkeep;
  readonly routes: Routes;
}

export function wireTrust({ config, control, clock, logger, shutdown }: Ground, needs: TrustNeeds): WiredTrust {
  const { identity, director, devices, outbox, twin, onCommitted } = needs;
  const chain = new TrustChain(control);
  const upkeep = new DesiredUpkeep({
    db: control,
    twin,
    director,
    onError: (error) => logger.error({ err: error }, 'desired documents were not brought up to date'),
  });
  shutdown.add('desired upkeep', () => upkeep.stop());
  const authorities = (): { certificate: string; fingerprint: string }[] =>
    identity.current.authorities.map((certificate) => ({ certificate, fingerprint: fingerprintOf(certificate) }));
  const publishing = new TrustPublishing({
    db: control,
    chain,
    devices,
    outbox,
    installation: () => ({
      directors: director.publicKeys(),
      authorities: authorities().map(({ certificate }) => certificate),
    }),
    clock,
    onCommitted,
  });
  const rotation = new DirectorRotation({ db: control, keys: director, chain, resign: () => upkeep.run() });
  const authority = new AuthorityRotation({ db: control, chain, folder: keysFolder(config), identity, clock });
  return { publishing, upkeep, routes: trustRoutes({ chain, publishing, director: rotation, authority, authorities }) };
}
