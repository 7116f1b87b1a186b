/** All that answers in a workspace, behind endpoints and on devices: one table, one list. */
import type { NotNull } from 'kysely';
import { settingsSchema } from '#shared/protocol/desired.js';
import { AppError } from '#shared/kernel/errors.js';
import { DeploymentRepository } from '#cloud/fleet/deployment-repository.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { PlacedDeploymentBody } from '#cloud/http/schemas/placed-deployments.js';
import { inOrderOf, type Page, type PageKey } from '#cloud/store/page.js';

export interface PlacedQuestion {
  readonly kind?: PlacedDeploymentBody['kind'] | undefined;
  /** `name:version` or a digest; without it all. */
  readonly image?: string | undefined;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/** Cursors of the part that comes first begin so; the others are of devices. */
const servicesFirst = 'services.';
const byDevice: PageKey<'device' | 'module'> = [
  { column: 'device', type: 'string' },
  { column: 'module', type: 'string' },
];

export class PlacedDeployments {
  constructor(private readonly db: Database) {}

  /** Web services by endpoint and name, then modules by device and name. @throws AppError `image.not-found`, `request.invalid` */
  async list(workspace: string, { kind, image, limit, cursor }: PlacedQuestion): Promise<Page<PlacedDeploymentBody>> {
    const images = new DeploymentRepository(this.db);
    const digest = image === undefined ? undefined : (await images.requireImage(workspace, image)).digest;
    const isAtServices = kind !== 'iot-module' && (cursor?.startsWith(servicesFirst) ?? true);
    if (!isAtServices) return this.modules(workspace, digest, { limit, cursor });
    const after = cursor === undefined ? 0 : positionIn(cursor);
    // As many as maxReplicas allows: few beside those of devices.
    const services = await this.services(workspace, digest);
    const items = services.slice(after, after + limit);
    const end = after + items.length;
    if (end < services.length) return { items, next: `${servicesFirst}${String(end)}` };
    if (kind === 'web-service') return { items };
    if (items.length === limit) {
      const more = await this.modules(workspace, digest, { limit: 1 });
      return more.items.length === 0 ? { items } : { items, next: `${servicesFirst}${String(end)}` };
    }
    const rest = await this.modules(workspace, digest, { limit: limit - items.length });
    return { ...rest, items: [...items, ...rest.items] };
  }

  private async services(workspace: string, digest: string | undefined): Promise<PlacedDeploymentBody[]> {
    const query = this.db
      .selectFrom('deployments as d')
      .innerJoin('endpoints as e', 'e.id', 'd.endpoint')
      .innerJoin('images as i', (join) =>
        join.onRef('i.workspace', '=', 'd.workspace').onRef('i.digest', '=', 'd.imageDigest'),
      )
      .select(['d.id', 'd.name', 'd.revision', 'd.settingsJson', 'd.generation', 'd.createdAt'])
      .select(['e.name as endpoint', 'i.name as image', 'i.version', 'i.digest'])
      .where('e.workspace', '=', workspace)
      .where('e.deletedAt', 'is', null)
      .where('d.removedGeneration', 'is', null)
      .orderBy('e.name')
      .orderBy('d.name')
      .$narrowType<{ name: NotNull }>();
    const rows = await (digest === undefined ? query : query.where('d.imageDigest', '=', digest)).execute();
    return rows.map(({ endpoint, name, revision, ...row }) => ({
      ...{ kind: 'web-service', endpoint, name, revision },
      ...placedOf(row),
    }));
  }

  private async modules(
    workspace: string,
    digest: string | undefined,
    page: Pick<PlacedQuestion, 'limit' | 'cursor'>,
  ): Promise<Page<PlacedDeploymentBody>> {
    const query = this.db
      .selectFrom('deployments as d')
      .innerJoin('images as i', (join) =>
        join.onRef('i.workspace', '=', 'd.workspace').onRef('i.digest', '=', 'd.imageDigest'),
      )
      .select(['d.id', 'd.device', 'd.module', 'd.settingsJson', 'd.generation', 'd.createdAt'])
      .select(['i.name as image', 'i.version', 'i.digest'])
      .where('d.workspace', '=', workspace)
      .where('d.removedGeneration', 'is', null)
      .where('d.device', 'is not', null)
      .$narrowType<{ device: NotNull; module: NotNull }>();
    const asked = digest === undefined ? query : query.where('d.imageDigest', '=', digest);
    const { items, ...more } = await inOrderOf(asked, byDevice, page);
    return {
      items: items.map(({ device, module, ...row }) => ({ kind: 'iot-module', device, module, ...placedOf(row) })),
      ...more,
    };
  }
}

interface PlacedRow {
  readonly id: string;
  readonly settingsJson: string;
  readonly generation: number;
  readonly createdAt: string;
  readonly image: string;
  readonly version: number;
  readonly digest: string;
}

function placedOf(
  row: PlacedRow,
): Pick<PlacedDeploymentBody, 'id' | 'image' | 'settings' | 'generation' | 'createdAt'> {
  const { id, settingsJson, generation, createdAt, image: name, version, digest } = row;
  const settings = settingsSchema.parse(JSON.parse(settingsJson));
  return { id, image: { name, version, digest }, settings, generation, createdAt };
}

function positionIn(cursor: string): number {
  const text = cursor.slice(servicesFirst.length);
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new AppError('request.invalid', 'this cursor is of no list: begin without one');
}
