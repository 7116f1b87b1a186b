import { AppError } from '#shared/kernel/errors.js';
import { toInstant } from '#shared/kernel/clock.js';
import { AuditReader } from '#cloud/audit/audit-reader.js';
import { ApiTokens } from '#cloud/auth/api-tokens.js';
import { Authenticator } from '#cloud/auth/authenticator.js';
import type { OidcSettings } from '#cloud/auth/oidc/oidc-settings.js';
import { OidcVerifier } from '#cloud/auth/oidc/oidc-verifier.js';
import type { CloudConfig } from '#cloud/config.js';
import { ApiCertificates } from '#cloud/http/api-certificates.js';
import { createApp, type App } from '#cloud/http/app.js';
import { bindError } from '#cloud/http/listen.js';
import { RequestLimits } from '#cloud/http/request-limits.js';
import { auditRoutes } from '#cloud/http/routes/audit-routes.js';
import { healthRoutes } from '#cloud/http/routes/health-routes.js';
import { loginRoutes } from '#cloud/http/routes/login-routes.js';
import { tokenRoutes } from '#cloud/http/routes/token-routes.js';
import { startRecurring } from '#cloud/lifecycle/recurring.js';
import { TokenRepository } from '#cloud/store/token-repository.js';
import { WorkspaceRepository } from '#cloud/store/workspace-repository.js';
import type { LivingIdentity } from '#cloud/trust/living-identity.js';
import { reachableHost } from './broker-wiring.js';
import type { Ground, Part } from './ground.js';

/** How long requests under way may take to end when the control plane stops. */
const drainMs = 10_000;
/** How soon a certificate that was replaced on disk is served. */
const certificatesEveryMs = 5_000;
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** How long ended tokens are still listed. */
const endedTokenDays = 30;

export const defaultWorkspace = 'default';

/** What of the installation's identity is served. */
export type ServedIdentity = Pick<LivingIdentity, 'current' | 'onChanged'>;

export interface OpenApi {
  /** Base URL. */
  readonly url: string;
  /** The owner token, where a start finds none that works. */
  readonly ownerToken: string | undefined;
}

/**
 * Opens the operator API over the parts: the last step of a start.
 *
 * @param identity whose certificate is served; without it only plain HTTP can be
 */
export async function openApi(
  ground: Ground,
  version: string,
  parts: readonly Part[],
  identity?: ServedIdentity,
): Promise<OpenApi> {
  const { config, logger, metrics, shutdown, clock, control, audit, revocations } = ground;
  const workspaces = new WorkspaceRepository(control);
  await workspaces.insert({ name: defaultWorkspace, createdAt: toInstant(clock.now()) });
  const tokens = new TokenRepository(control);
  const issuer = oidcSettings(config);
  const authenticator = new Authenticator(tokens, clock, issuer && new OidcVerifier(issuer, clock));
  const certificates = await openCertificates(ground, identity);
  const app = await createApp({
    logger,
    version,
    authenticator,
    audit,
    workspaces,
    metrics,
    limits: new RequestLimits(config.limits.requestsPerSecond, clock),
    maxJsonBytes: config.limits.maxJsonBytes,
    behindProxy: config.http.behindProxy,
    certificates,
    routes: [
      healthRoutes({ checks: parts.flatMap((part) => part.checks), metrics }),
      loginRoutes({ oidc: issuer }),
      auditRoutes({ audit: new AuditReader(control) }),
      tokenRoutes({ tokens: new ApiTokens(tokens, revocations, clock) }),
      ...parts.flatMap((part) => part.routes),
    ],
    upgrades: parts.flatMap((part) => part.upgrades ?? []),
  });
  shutdown.add('operator API', () => closeWithin(app, drainMs));
  const { host, port } = config.http;
  try {
    await app.listen({ host, port });
  } catch (error) {
    throw bindError(error, { host, port }, 'http.port (--http-port)');
  }
  const run = async (): Promise<void> => {
    await tokens.removeEndedBefore(toInstant(clock.now() - endedTokenDays * dayMs));
    const entries = await audit.prune(toInstant(clock.now() - config.retention.auditDays * dayMs));
    if (entries > 0) logger.info({ entries }, 'old entries of the audit log were removed');
  };
  shutdown.add('API upkeep', startRecurring({ name: 'API upkeep', everyMs: hourMs, run }, clock, logger));
  const address = app.server.address();
  const bound = typeof address === 'object' && address !== null ? address.port : port;
  const url = `${certificates ? 'https' : 'http'}://${reachableHost(host)}:${String(bound)}`;
  return { url, ownerToken: await authenticator.createFirstOwner() };
}

function oidcSettings({ oidc }: CloudConfig): OidcSettings | undefined {
  const { issuer, audience, ...rest } = oidc;
  return issuer === undefined || audience === undefined ? undefined : { ...rest, issuer, audience };
}

async function openCertificates(
  ground: Ground,
  identity: ServedIdentity | undefined,
): Promise<ApiCertificates | undefined> {
  const { clock, logger, shutdown } = ground;
  const { http } = ground.config;
  if (http.tls === 'off') return undefined;
  if (!identity) throw new AppError('config.invalid', 'this control plane has no authority: set http.tls to off');
  const { tlsCertFile: certificate, tlsKeyFile: privateKey } = http;
  const certificates = await ApiCertificates.open(
    {
      generated: () => identity.current.server,
      authorities: () => identity.current.authorities,
      ...(certificate === undefined || privateKey === undefined ? {} : { files: { certificate, privateKey } }),
    },
    logger,
  );
  const run = async (): Promise<void> => {
    await certificates.refresh();
  };
  identity.onChanged(run);
  const watch = { name: 'certificates of the API', everyMs: certificatesEveryMs, run };
  shutdown.add(watch.name, startRecurring(watch, clock, logger));
  return certificates;
}

async function closeWithin(app: App, ms: number): Promise<void> {
  const timer = setTimeout(() => app.server.closeAllConnections(), ms);
  try {
    await app.close();
  } finally {
    clearTimeout(timer);
  }
}
