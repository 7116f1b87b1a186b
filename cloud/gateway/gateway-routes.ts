/** What devices ask for over HTTPS. A secret is neither logged nor echoed. */
import { TLSSocket } from 'node:tls';
import type { X509Certificate } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import {
  enrolmentPendingSchema,
  enrolmentRequestSchema,
  type EnrolmentResponse,
  enrolmentResponseSchema,
  renewalRequestSchema,
  renewalResponseSchema,
} from '#shared/protocol/enrolment.js';
import type { Enrolment } from '#cloud/fleet/enrolment.js';
import type { Renewal } from '#cloud/fleet/renewal.js';
import type { Routes } from '#cloud/http/app.js';
import { TokenBuckets } from './token-bucket.js';

export interface GatewayRouteDeps {
  readonly clock: Clock;
  readonly enrolment: Pick<Enrolment, 'redeem'>;
  readonly renewal: Pick<Renewal, 'renew'>;
  /** What every device is told; asked at each enrolment, since ports are known only when bound. */
  readonly trust: () => Pick<EnrolmentResponse, 'director' | 'broker'>;
}

/** What fails is limited, so that nobody can keep the control plane busy; a factory behind one address is not. */
const limits = { burst: 30, perSecond: 5, maxAddresses: 10_000 };
/** A device that waits for approval asks so often. */
const pendingRetrySeconds = 5;

export function gatewayRoutes({ clock, enrolment, renewal, trust }: GatewayRouteDeps): Routes {
  const buckets = new TokenBuckets(limits);
  // Before the body is read: a flood costs no more than its requests' heads.
  const onRequest = async (request: FastifyRequest): Promise<void> => {
    const waitMs = buckets.take(request.ip, clock.monotonic());
    if (waitMs === 0) return;
    throw new AppError('rate.limited', 'too many requests from this address: wait a moment, then try again', {
      details: { retryAfterSeconds: Math.ceil(waitMs / 1000) },
    });
  };
  const onSend = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    if (reply.statusCode < 400) buckets.giveBack(request.ip);
  };
  const onError = async (_request: FastifyRequest, reply: FastifyReply, error: Error): Promise<void> => {
    const seconds = error instanceof AppError ? error.details['retryAfterSeconds'] : undefined;
    if (typeof seconds === 'number') reply.header('retry-after', String(seconds));
  };
  const config = { public: true };
  return (app) => {
    app.post(
      '/v1/enrol',
      {
        config,
        onRequest,
        onSend,
        onError,
        schema: {
          tags: ['gateway'],
          summary: 'Make this machine a device, by a one-time token or a fleet claim',
          body: enrolmentRequestSchema,
          response: { 201: enrolmentResponseSchema, 202: enrolmentPendingSchema },
        },
      },
      async (request, reply) => {
        const { workspace } = request.body;
        const outcome = await enrolment.redeem(request.body, request.ip);
        if (outcome.kind === 'pending') {
          const retryAfterSeconds = pendingRetrySeconds;
          return reply
            .code(202)
            .header('retry-after', String(retryAfterSeconds))
            .send({ state: 'pending', retryAfterSeconds });
        }
        const { kind: _, ...enrolled } = outcome;
        request.log.info({ workspace, device: enrolled.device }, 'device enrolled');
        return reply.code(201).send({ workspace, ...enrolled, ...trust() });
      },
    );

    app.post(
      '/v1/renew',
      {
        config,
        onRequest,
        onSend,
        onError,
        schema: {
          tags: ['gateway'],
          summary: 'Give a device that shows its certificate, by TLS, another one',
          body: renewalRequestSchema,
          response: { 200: renewalResponseSchema },
        },
      },
      async (request) => {
        const { address, certificate } = await renewal.renew(shownBy(request), request.body.csr, request.ip);
        request.log.info({ ...address }, 'certificate renewed');
        return { certificate, broker: trust().broker };
      },
    );
  };
}

/** What the client proved to hold the key of; whose it is and whether it counts is judged elsewhere. */
function shownBy({ raw }: FastifyRequest): X509Certificate | undefined {
  return raw.socket instanceof TLSSocket ? raw.socket.getPeerX509Certificate() : undefined;
}
