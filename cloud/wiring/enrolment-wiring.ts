/** How devices come by their certificates and lose them. */
import { Certification } from '#cloud/fleet/certification.js';
import { ClaimOffice } from '#cloud/fleet/claim-office.js';
import { Enrolment } from '#cloud/fleet/enrolment.js';
import { FleetClaims } from '#cloud/fleet/fleet-claims.js';
import type { KnownDevices } from '#cloud/fleet/known-devices.js';
import { Renewal } from '#cloud/fleet/renewal.js';
import { Revocation } from '#cloud/fleet/revocation.js';
import type { DeviceAccess } from '#cloud/mqtt/device-access.js';
import type { LivingIdentity } from '#cloud/trust/living-identity.js';
import type { Ground } from './ground.js';

const dayMs = 86_400_000;

export interface WiredEnrolment {
  readonly enrolment: Enrolment;
  readonly renewal: Renewal;
  readonly revocation: Revocation;
  readonly claims: FleetClaims;
  readonly office: ClaimOffice;
}

export function wireEnrolment(
  { config, control: db, clock, live, audit }: Ground,
  identity: LivingIdentity,
  { access, known }: { readonly access: DeviceAccess; readonly known: KnownDevices },
): WiredEnrolment {
  const { certificateDays, renewalGraceDays } = config.devices;
  const issuer = () => identity.current.issuer;
  const certification = new Certification({ clock, issuer, certificateMs: certificateDays * dayMs });
  const claims = new FleetClaims(db, clock);
  return {
    enrolment: new Enrolment({ db, clock, access, known, live, certification, claims, audit }),
    renewal: new Renewal({ db, clock, access, certification, issuer, graceMs: renewalGraceDays * dayMs, audit }),
    revocation: new Revocation({ db, clock, access }),
    claims,
    office: new ClaimOffice(db, clock),
  };
}
