import { toInstant, type Clock } from '#shared/kernel/clock.js';
import type { Enrolment } from '#cloud/fleet/enrolment.js';
import type { Revocation } from '#cloud/fleet/revocation.js';
import type { Routes } from '../app.js';
import {
  certificatesBody,
  certificatesRevoke,
  certificatesRevoked,
  replacementCreate,
} from '../schemas/device-identity.js';
import { enrolmentTokenBody } from '../schemas/devices.js';
import { deviceParams } from './device-routes.js';
import type { EnrolmentTokensRouteDeps } from './enrolment-tokens-routes.js';

export interface DeviceCertificatesRouteDeps extends Pick<EnrolmentTokensRouteDeps, 'trust'> {
  readonly revocation: Revocation;
  readonly enrolment: Pick<Enrolment, 'createReplacement'>;
  readonly clock: Clock;
}

const path = '/v1/workspaces/:workspace/devices/:device';
const tags = ['devices'];

export function deviceCertificatesRoutes({ revocation, enrolment, clock, trust }: DeviceCertificatesRouteDeps): Routes {
  return (app) => {
    app.get(
      `${path}/certificates`,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Certificates of a device, the newest first',
          params: deviceParams,
          response: { 200: certificatesBody },
        },
      },
      async (request) => {
        const now = toInstant(clock.now());
        const certificates = await revocation.list(request.params);
        return {
          device: request.params.device,
          certificates: certificates.map(
            ({ serial, fingerprint, issuedAt, notAfter, revokedAt, reason, certificate }) => ({
              serial,
              fingerprint,
              state:
                revokedAt !== null
                  ? ('revoked' as const)
                  : notAfter <= now
                    ? ('ended' as const)
                    : ('accepted' as const),
              issuedAt,
              notAfter,
              ...(revokedAt === null ? {} : { revokedAt }),
              ...(reason === null ? {} : { reason }),
              certificate,
            }),
          ),
        };
      },
    );

    app.post(
      `${path}/certificates/revoke`,
      {
        config: { role: 'owner' },
        schema: {
          tags,
          summary: 'Revoke one certificate of a device, or all: its live sessions end',
          params: deviceParams,
          body: certificatesRevoke,
          response: { 200: certificatesRevoked },
        },
      },
      async (request) => {
        const { serial, reason } = request.body;
        return {
          device: request.params.device,
          revoked: await revocation.revoke(request.params, reason, serial?.toLowerCase()),
        };
      },
    );

    app.post(
      `${path}/replacement-tokens`,
      {
        config: { role: 'owner' },
        schema: {
          tags,
          summary: 'Make a token with which other hardware takes the name and the desired state of a device over',
          params: deviceParams,
          body: replacementCreate,
          response: { 201: enrolmentTokenBody },
        },
      },
      async (request, reply) => {
        const { workspace } = request.params;
        const token = await enrolment.createReplacement(request.params, request.body.ttlSeconds * 1000);
        const { gatewayUrl, authority, director } = trust();
        return reply.code(201).send({ ...token, url: gatewayUrl, workspace, authority, director });
      },
    );
  };
}
