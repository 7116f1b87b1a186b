/**
 * What replicas collect, until the control plane has it: a folder for each deployment, where its scoring hosts read what
 * is asked of them and leave finished pieces. Bounded while nobody fetches them: the oldest go first, and that is told.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#shared/kernel/clock.js';
import { messageOf } from '#shared/kernel/errors.js';
import { isName } from '#shared/kernel/names.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { CollectRules } from '#shared/protocol/collect.js';
import type { Logger } from '#shared/platform/logger.js';
import { PieceFolder } from '#shared/scoring/collect/piece-folder.js';
import { readPieceFile } from '#shared/scoring/collect/piece-name.js';
import type { DesiredDeployment, DesiredEndpoint, DesiredServices } from '../desired-services.js';
import type { CollectedPiece, PieceKey } from './control-protocol.js';
import type { ReplicaOf } from './observed.js';

export interface CollectedDataPorts {
  /** Its own. */
  readonly folder: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Room for an answer of the control socket. */
const maxHandedBytes = 4 * 1024 * 1024;
const maxLineBytes = 512 * 1024;
const maxPieceBytes = 1024 * 1024;
const maxOpenMs = 2_000;

export class CollectedData {
  /** By folder: what was written of rules, so that nothing is written twice. */
  private readonly written = new Map<string, string>();
  private readonly bounds = new Map<string, number>();
  private readonly folders = new Map<string, PieceFolder>();
  private lost = 0;

  constructor(private readonly ports: CollectedDataPorts) {}

  /** Where the replicas of a deployment read their rules and leave pieces. */
  folderOf({ endpoint, deployment }: Pick<ReplicaOf, 'endpoint' | 'deployment'>): string {
    return join(this.ports.folder, endpoint, deployment);
  }

  /**
   * What is desired from now on. Where nothing is collected any more, what waits goes too: whoever ends it may have seen
   * that too much was kept. Never throws: that nothing can be collected is no reason not to answer requests.
   *
   * @param running what replicas run beside it, under other names maybe
   */
  async apply(desired: DesiredServices | undefined, running: readonly DesiredDeployment[]): Promise<void> {
    for (const endpoint of desired?.endpoints ?? []) {
      for (const spec of endpoint.deployments) {
        const names = [spec, ...running.filter(({ name }) => name === spec.name)].map(({ image }) => image.name);
        try {
          await this.applyOne(endpoint, spec, [...new Set(names)]);
        } catch (error) {
          const what = `${endpoint.name}/${spec.name}`;
          this.ports.logger.error(
            { deployment: what, reason: messageOf(error) },
            'what is to be collected is not told',
          );
        }
      }
    }
  }

  /** Lets the oldest go where too much waits, and forgets folders of what is gone. */
  async look(desired: DesiredServices | undefined): Promise<void> {
    const living = new Set(
      (desired?.endpoints ?? []).flatMap(({ id, deployments }) =>
        deployments.map(({ name }) => this.folderOf({ endpoint: id, deployment: name })),
      ),
    );
    for (const { folder } of await this.all()) {
      const pieces = await folder.finished();
      const gone = await folder.bound(pieces, this.bounds.get(folder.path) ?? Infinity);
      this.lost += gone.length;
      if (gone.length > 0) {
        this.ports.logger.warn(
          { pieces: gone.length, lost: this.lost },
          'collected data was not fetched: the oldest goes',
        );
      }
      if (pieces.length === 0 && !living.has(folder.path)) await this.forget(folder);
    }
  }

  /** The oldest of each deployment, as many as fit; `lost`: pieces that were let go since this process started. */
  async list(): Promise<{ readonly pieces: readonly CollectedPiece[]; readonly lost: number }> {
    const pieces: CollectedPiece[] = [];
    let total = 0;
    for (const { endpoint, deployment, folder } of await this.all()) {
      for (const piece of await folder.finished()) {
        if (pieces.length > 0 && total + piece.bytes > maxHandedBytes) return { pieces, lost: this.lost };
        const bytes = await folder.read(piece);
        if (bytes === undefined) continue;
        total += bytes.length;
        pieces.push({ endpoint, deployment, file: piece.file, lines: bytes.toString('utf8') });
      }
    }
    return { pieces, lost: this.lost };
  }

  /** The control plane has them. */
  async taken(keys: readonly PieceKey[]): Promise<void> {
    for (const { endpoint, deployment, file } of keys) {
      if (!isPathPart(endpoint) || !isName(deployment) || readPieceFile(file)?.open !== false) continue;
      await this.folderAt(this.folderOf({ endpoint, deployment })).remove({ file });
    }
  }

  private async applyOne({ id, workspace, name }: DesiredEndpoint, spec: DesiredDeployment, modules: string[]) {
    if (!isPathPart(id)) return;
    const folder = this.folderAt(this.folderOf({ endpoint: id, deployment: spec.name }));
    const { collect } = spec;
    const source = `/workspaces/${workspace}/onlineEndpoints/${name}/deployments/${spec.name}`;
    const { maxBytes = 0, ...rule } = collect ?? {};
    const rules = Object.fromEntries(
      collect === undefined
        ? []
        : modules.map((module) => [module, { ...rule, source, maxLineBytes, maxPieceBytes, maxOpenMs }] as const),
    ) as CollectRules['modules'];
    const text = canonicalJson(rules);
    if (this.written.get(folder.path) === text) return;
    await folder.prepare();
    await folder.writeRules({ schema: 1, modules: rules });
    this.written.set(folder.path, text);
    if (collect !== undefined) this.bounds.set(folder.path, maxBytes);
    else for (const piece of await folder.finished()) await folder.remove(piece);
  }

  private folderAt(path: string): PieceFolder {
    const folder = this.folders.get(path) ?? new PieceFolder(path, this.ports.clock);
    this.folders.set(path, folder);
    return folder;
  }

  private async forget({ path }: PieceFolder): Promise<void> {
    // What is still open there is finished within seconds, or adopted: then it is gone the next time.
    const files = await readdir(path).catch(() => []);
    if (files.some((file) => readPieceFile(file) !== undefined)) return;
    await rm(path, { recursive: true, force: true });
    this.folders.delete(path);
    this.written.delete(path);
    this.bounds.delete(path);
  }

  private async all(): Promise<{ endpoint: string; deployment: string; folder: PieceFolder }[]> {
    const found: { endpoint: string; deployment: string; folder: PieceFolder }[] = [];
    for (const endpoint of (await namesIn(this.ports.folder)).filter(isPathPart)) {
      for (const deployment of (await namesIn(join(this.ports.folder, endpoint))).filter(isName)) {
        found.push({ endpoint, deployment, folder: this.folderAt(this.folderOf({ endpoint, deployment })) });
      }
    }
    return found;
  }
}

async function namesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

function isPathPart(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/.test(text);
}
