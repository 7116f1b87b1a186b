import { AppError } from '#shared/kernel/errors.js';
import type { Authenticator } from '#cloud/auth/authenticator.js';
import { requireInstallation, requireRole, requireWorkspace } from '#cloud/auth/principal.js';
import type { WorkspaceRepository } from '#cloud/store/workspace-repository.js';
import type { App } from '../app.js';
import type { RequestLimits } from '../request-limits.js';

/** Before any byte of a body is read: who asks, may they, and is there such a workspace. */
export function addAuthentication(
  app: App,
  authenticator: Authenticator,
  workspaces: WorkspaceRepository,
  limits: RequestLimits,
): void {
  // A route that says nothing must not come to be: nobody is to find out later who may call it.
  app.addHook('onRoute', ({ method, url, config }) => {
    if (config?.public !== true && config?.role === undefined) {
      throw new Error(`${String(method)} ${url} says neither config.role nor config.public`);
    }
  });
  app.addHook('onRequest', async (request) => {
    const { config } = request.routeOptions;
    if (request.is404 || config.public === true) {
      limits.takeUnknown(request.ip);
      return;
    }
    const principal = await authenticator.authenticate(request.headers.authorization).catch((error: unknown) => {
      limits.takeFailed(request.ip);
      throw error;
    });
    limits.takeKnown(`${principal.kind} ${principal.id}`);
    request.principal = principal;

    const workspace = workspaceOf(request.params);
    if (workspace !== undefined) requireWorkspace(principal, workspace);
    if (config.installation === true) requireInstallation(principal);
    requireRole(principal, config.role ?? 'owner');
    if (workspace !== undefined && !(await workspaces.exists(workspace))) throw unknownWorkspace(workspace);
  });
}

export function unknownWorkspace(workspace: string): AppError {
  return new AppError(
    'workspace.not-found',
    `there is no workspace "${workspace.slice(0, 64)}"; flotilla workspace list shows those there are`,
  );
}

export function workspaceOf(params: unknown): string | undefined {
  if (typeof params !== 'object' || params === null || !('workspace' in params)) return undefined;
  return typeof params.workspace === 'string' ? params.workspace : undefined;
}
