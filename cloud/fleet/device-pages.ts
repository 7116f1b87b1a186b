/** Pages of devices as the API shows them: all of a workspace, or those that a query finds. */
import type { DeviceBody } from '#cloud/http/schemas/devices.js';
import { afterName, type PageRequest } from '#cloud/store/page.js';
import type { DeploymentRepository } from './deployment-repository.js';
import { deviceBodyOf } from './device-body.js';
import type { DeviceRepository } from './device-repository.js';
import type { DeviceSearch } from './device-search.js';
import type { Query } from './query/query-ast.js';

export class DevicePages {
  constructor(
    private readonly devices: Pick<DeviceRepository, 'list'>,
    private readonly deployments: Pick<DeploymentRepository, 'listCurrent'>,
    private readonly search: Pick<DeviceSearch, 'page'>,
  ) {}

  /** By name; the cursor is the last name of the page before. */
  async page(
    workspace: string,
    { limit, cursor }: PageRequest,
    query?: Query,
  ): Promise<{ items: DeviceBody[]; next?: string }> {
    // One row more than asked for tells whether another page follows.
    const rows =
      query === undefined
        ? await this.devices.list(workspace, limit + 1, cursor)
        : await this.search.page(workspace, query, limit + 1, cursor);
    const { items: shown, next } = afterName(rows, limit);
    const modules = await this.deployments.listCurrent(
      workspace,
      shown.map(({ name }) => name),
    );
    const items = shown.map((device) => deviceBodyOf(device, modules.get(device.name) ?? []));
    return next === undefined ? { items } : { items, next };
  }
}
