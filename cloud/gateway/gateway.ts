/**
 * The device gateway: HTTPS with the certificate that devices pin. Devices come here once, to enrol;
 * everything after that goes over the broker. A secret is neither logged nor echoed.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import fastify, { LogController, type FastifyBaseLogger, type RawServerDefault } from 'fastify';
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { enrolmentRequestSchema, type EnrolmentResponse, enrolmentResponseSchema } from '#shared/protocol/enrolment.js';
import type { App, Upgrade } from '#cloud/http/app.js';
import { addJsonBodies } from '#cloud/http/plugins/json-bodies.js';
import { addProblems, answerFrameworkError, answerMalformedHttp } from '#cloud/http/plugins/problems.js';
import { addSecurityHeaders } from '#cloud/http/plugins/security-headers.js';
import { addUpgrades } from '#cloud/http/upgrades.js';
import type { Enrolment } from '#cloud/fleet/enrolment.js';
import { TokenBuckets } from './token-bucket.js';

export interface GatewayOptions {
  readonly logger: Logger;
  readonly clock: Clock;
  /** PEM. */
  readonly certificate: string;
  readonly privateKey: string;
  /** PEM: whose certificates clients may come with; most come without one. */
  readonly authorities: readonly string[];
  readonly upgrades: readonly Upgrade[];
  readonly enrolment: Enrolment;
  /** What every device is told; asked at each enrolment, since ports are known only when bound. */
  readonly trust: () => Pick<EnrolmentResponse, 'director' | 'broker'>;
}

const maxBodyBytes = 32 * 1024;
const limits = { burst: 30, perSecond: 5, maxAddresses: 10_000 };

/** Ready to listen. */
export async function createGateway(options: GatewayOptions): Promise<App> {
  const { certificate, privateKey } = options;
  const app: App = fastify<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger>({
    loggerInstance: options.logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: maxBodyBytes,
    genReqId: () => randomUUID(),
    forceCloseConnections: true,
    frameworkErrors: answerFrameworkError,
    clientErrorHandler: answerMalformedHttp,
    serverFactory: (handler) =>
      createServer(
        {
          cert: certificate,
          key: privateKey,
          ca: [...options.authorities],
          requestCert: true,
          rejectUnauthorized: false,
          minVersion: 'TLSv1.2',
          handshakeTimeout: 10_000,
          requestTimeout: 30_000,
        },
        handler,
      ),
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  addSecurityHeaders(app);
  addProblems(app);
  addJsonBodies(app);
  addEnrolment(app, options);
  await app.ready();
  addUpgrades(app, options.upgrades);
  return app;
}

function addEnrolment(app: App, { clock, enrolment, trust }: GatewayOptions): void {
  const buckets = new TokenBuckets(limits);
  app.post(
    '/v1/enrol',
    {
      // Before the body is read: a flood costs no more than its requests' heads.
      onRequest: async (request, reply) => {
        const waitMs = buckets.take(request.ip, clock.monotonic());
        if (waitMs === 0) return;
        reply.header('retry-after', String(Math.ceil(waitMs / 1000)));
        throw new AppError('rate.limited', 'too many enrolments from this address: wait a moment, then try again');
      },
      schema: { body: enrolmentRequestSchema, response: { 201: enrolmentResponseSchema } },
    },
    async (request, reply) => {
      const { workspace, device } = request.body;
      const enrolled = await enrolment.redeem(request.body);
      request.log.info({ workspace, device }, 'device enrolled');
      return reply.code(201).send({ workspace, device, ...enrolled, ...trust() });
    },
  );
}
