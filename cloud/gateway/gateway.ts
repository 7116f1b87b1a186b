/**
 * The device gateway: HTTPS with the certificate that devices pin. Devices come here to enrol and to renew
 * their certificates; everything else goes over the broker.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import fastify, { LogController, type FastifyBaseLogger, type RawServerDefault } from 'fastify';
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Logger } from '#shared/platform/logger.js';
import type { App, Upgrade } from '#cloud/http/app.js';
import { addJsonBodies } from '#cloud/http/plugins/json-bodies.js';
import { addProblems, answerFrameworkError, answerMalformedHttp } from '#cloud/http/plugins/problems.js';
import { addSecurityHeaders } from '#cloud/http/plugins/security-headers.js';
import { addUpgrades } from '#cloud/http/upgrades.js';
import { type GatewayRouteDeps, gatewayRoutes } from './gateway-routes.js';

/** PEM. */
export interface GatewayTls {
  readonly certificate: string;
  readonly privateKey: string;
  /** Whose certificates clients may come with; most come without one. */
  readonly authorities: readonly string[];
}

export interface GatewayOptions extends GatewayRouteDeps, GatewayTls {
  readonly logger: Logger;
  readonly upgrades: readonly Upgrade[];
}

const maxBodyBytes = 32 * 1024;

/** Ready to listen. */
export async function createGateway(options: GatewayOptions): Promise<App> {
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
          ...secureContext(options),
          requestCert: true,
          // The routes judge: most come without one, and one that has ended may still be renewed.
          rejectUnauthorized: false,
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
  await gatewayRoutes(options)(app);
  await app.ready();
  addUpgrades(app, options.upgrades);
  return app;
}

/** For whoever connects from now on. */
export function replaceGatewayTls(gateway: App, tls: GatewayTls): void {
  (gateway.server as Server).setSecureContext(secureContext(tls));
}

function secureContext({ certificate, privateKey, authorities }: GatewayTls) {
  return { cert: certificate, key: privateKey, ca: [...authorities], minVersion: 'TLSv1.2' as const };
}
