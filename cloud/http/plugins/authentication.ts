import { AppError } from '#shared/kernel/errors.js';
import { requireWorkspace, type Authenticator } from '#cloud/auth/authenticator.js';
import type { WorkspaceRepository } from '#cloud/store/workspace-repository.js';
import type { App } from '../app.js';

/** Before any byte of a body is read: who asks, and is there such a workspace. */
export function addAuthentication(app: App, authenticator: Authenticator, workspaces: WorkspaceRepository): void {
  app.addHook('onRequest', async (request) => {
    if (request.is404 || request.routeOptions.config.public === true) return;
    const principal = await authenticator.authenticate(request.headers.authorization);
    request.principal = principal;

    const workspace = workspaceOf(request.params);
    if (workspace === undefined) return;
    requireWorkspace(principal, workspace);
    if (!(await workspaces.exists(workspace))) throw unknownWorkspace(workspace);
  });
}

export function unknownWorkspace(workspace: string): AppError {
  return new AppError(
    'workspace.not-found',
    `there is no workspace "${workspace.slice(0, 64)}"; flotilla workspace list shows those there are`,
  );
}

function workspaceOf(params: unknown): string | undefined {
  if (typeof params !== 'object' || params === null || !('workspace' in params)) return undefined;
  return typeof params.workspace === 'string' ? params.workspace : undefined;
}
