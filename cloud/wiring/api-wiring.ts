import { readFile } from 'node:fs/promises';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { toInstant } from '#shared/kernel/clock.js';
import { Authenticator } from '#cloud/auth/authenticator.js';
import type { CloudConfig } from '#cloud/config.js';
import { createApp, type App } from '#cloud/http/app.js';
import { bindError } from '#cloud/http/listen.js';
import { healthRoutes } from '#cloud/http/routes/health-routes.js';
import { TokenRepository } from '#cloud/store/token-repository.js';
import { WorkspaceRepository } from '#cloud/store/workspace-repository.js';
import type { Ground, Part } from './ground.js';

/** How long requests under way may take to end when the control plane stops. */
const drainMs = 10_000;

export const defaultWorkspace = 'default';

export interface OpenApi {
  /** Base URL. */
  readonly url: string;
  /** The owner token, at the first start of a data folder only. */
  readonly ownerToken: string | undefined;
}

/** Opens the operator API over the parts: the last step of a start. */
export async function openApi(ground: Ground, version: string, parts: readonly Part[]): Promise<OpenApi> {
  const { config, logger, metrics, shutdown, clock, control, audit } = ground;
  const workspaces = new WorkspaceRepository(control);
  await workspaces.insert({ name: defaultWorkspace, createdAt: toInstant(clock.now()) });
  const authenticator = new Authenticator(new TokenRepository(control), clock);
  const tls = await readTls(config);
  const app = await createApp({
    logger,
    version,
    authenticator,
    audit,
    workspaces,
    metrics,
    maxJsonBytes: config.limits.maxJsonBytes,
    routes: [
      healthRoutes({ checks: parts.flatMap((part) => part.checks), metrics }),
      ...parts.flatMap((part) => part.routes),
    ],
    upgrades: parts.flatMap((part) => part.upgrades ?? []),
    ...(tls ? { tls } : {}),
  });
  shutdown.add('operator API', () => closeWithin(app, drainMs));
  const { host, port } = config.http;
  try {
    await app.listen({ host, port });
  } catch (error) {
    throw bindError(error, { host, port }, 'http.port (--http-port)');
  }
  const address = app.server.address();
  const bound = typeof address === 'object' && address !== null ? address.port : port;
  const url = `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${String(bound)}`;
  return { url, ownerToken: await authenticator.createFirstOwner() };
}

async function closeWithin(app: App, ms: number): Promise<void> {
  const timer = setTimeout(() => app.server.closeAllConnections(), ms);
  try {
    await app.close();
  } finally {
    clearTimeout(timer);
  }
}

async function readTls({ http }: CloudConfig): Promise<{ cert: string; key: string } | undefined> {
  if (http.tlsCertFile === undefined || http.tlsKeyFile === undefined) return undefined;
  try {
    return { cert: await readFile(http.tlsCertFile, 'utf8'), key: await readFile(http.tlsKeyFile, 'utf8') };
  } catch (error) {
    throw new AppError('config.invalid', `cannot read http.tlsCertFile or http.tlsKeyFile: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
