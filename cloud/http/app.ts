/**
 * The operator API. Every route but the marked public ones needs a token; a route under a workspace is
 * only reached for a workspace that exists; every answer that is not a success is a problem body.
 */
import { randomUUID } from 'node:crypto';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import fastify, { LogController, type FastifyBaseLogger, type FastifyInstance, type RawServerDefault } from 'fastify';
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Logger } from '#shared/platform/logger.js';
import type { AuditDetails, AuditLog } from '#cloud/audit/audit-log.js';
import type { Authenticator } from '#cloud/auth/authenticator.js';
import type { Principal } from '#cloud/auth/principal.js';
import type { Role } from '#cloud/auth/role.js';
import type { WorkspaceRepository } from '#cloud/store/workspace-repository.js';
import type { ApiCertificates } from './api-certificates.js';
import { addAuditing } from './plugins/auditing.js';
import { addAuthentication } from './plugins/authentication.js';
import { addDocumentation, addDocumentationAccess } from './plugins/documentation.js';
import { addJsonBodies } from './plugins/json-bodies.js';
import { addProblems, answerFrameworkError, answerMalformedHttp } from './plugins/problems.js';
import { addRequestMetrics } from './plugins/request-metrics.js';
import { addSecurityHeaders } from './plugins/security-headers.js';
import type { Metrics } from './metrics.js';
import type { RequestLimits } from './request-limits.js';
import { addUpgrades } from './upgrades.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; absent on public routes. */
    principal?: Principal;
    /** Of a JSON body as it was sent, hex. */
    bodySha256?: string;
    /** What a handler adds to its entry in the audit log; never a secret. */
    audited?: AuditDetails;
  }
  interface FastifyContextConfig {
    /** Answers without a token. A route says either this or `role`; one that says neither does not come to be. */
    public?: boolean;
    /** The least role that may call it. */
    role?: Role;
    /** It concerns the whole installation: a token of one workspace is refused whatever its role. */
    installation?: boolean;
    /** It gives what is personal: though it changes nothing, it is in the audit log. */
    audited?: boolean;
    /** Takes a body of plain bytes, or answers with one; for the documentation, as nothing is to be validated. */
    bytes?: 'body' | 'answer';
  }
}

export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** Adds a feature's routes. Each runs in a scope of its own: content parsers and hooks stay there. */
export type Routes = (app: App) => void | Promise<void>;

/** A path whose connections leave HTTP for another protocol. It judges for itself who may. */
export interface Upgrade {
  readonly path: string;
  handle(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

export interface AppOptions {
  readonly logger: Logger;
  readonly version: string;
  readonly authenticator: Authenticator;
  readonly audit: AuditLog;
  readonly workspaces: WorkspaceRepository;
  readonly metrics: Metrics;
  readonly limits: RequestLimits;
  readonly routes: readonly Routes[];
  readonly upgrades?: readonly Upgrade[];
  readonly maxJsonBytes: number;
  /** Without them the API is plain HTTP. */
  readonly certificates?: ApiCertificates | undefined;
  /** One proxy stands before the API: the address that it saw is the caller's. */
  readonly behindProxy: boolean;
}

export async function createApp(options: AppOptions): Promise<App> {
  const { certificates } = options;
  const app: App = fastify<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger>({
    loggerInstance: options.logger,
    // One line per request is metrics' work; failures are logged where they are answered.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: options.maxJsonBytes,
    genReqId: () => randomUUID(),
    forceCloseConnections: 'idle',
    frameworkErrors: answerFrameworkError,
    clientErrorHandler: answerMalformedHttp,
    routerOptions: { maxParamLength: 512 },
    // One hop: what a client itself wrote into X-Forwarded-For stands further left, and is not believed.
    trustProxy: options.behindProxy ? (_address, hop) => hop === 0 : false,
    serverFactory: (handler) => {
      if (!certificates) return createHttpServer(handler);
      const server = createHttpsServer(certificates.options, handler);
      certificates.attach(server);
      return server;
    },
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);

  addSecurityHeaders(app);
  addRequestMetrics(app, options.metrics);
  addProblems(app);
  addJsonBodies(app);
  addDocumentationAccess(app);
  addAuthentication(app, options.authenticator, options.workspaces, options.limits);
  addAuditing(app, options.audit);
  await addDocumentation(app, options.version);
  for (const routes of options.routes) {
    await app.register(async (scope) => {
      await routes(scope as App);
    });
  }
  await app.ready();
  addUpgrades(app, options.upgrades ?? []);
  return app;
}
