/**
 * Fetches what replicas collected from the service host into the workspace's storage. A piece is stored once: that it
 * was taken is written with its bytes, and forgotten when the service host has let it go.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { CollectRule } from '#shared/protocol/collect.js';
import { collectedEventSchema } from '#shared/protocol/collect.js';
import { wholeLines } from '#shared/scoring/collect/piece-folder.js';
import { type PieceName, readPieceFile } from '#shared/scoring/collect/piece-name.js';
import type { Logger } from '#shared/platform/logger.js';
import type { Counter } from '#cloud/http/metrics.js';
import { collectedPath, hourOf } from '#cloud/storage/collected-path.js';
import type { StorageBatch, StoragePart, WorkspaceStorage } from '#cloud/storage/workspace-storage.js';
import type { CollectedPiece, PieceKey } from '../host/control-protocol.js';

/** The service host's side. */
export interface CollectedSource {
  collected(): Promise<{ readonly pieces: readonly CollectedPiece[]; readonly lost: number }>;
  taken(taken: readonly PieceKey[]): Promise<void>;
}

/** Whose data a piece is. */
export interface CollectedOwner {
  readonly workspace: string;
  readonly endpoint: string;
  /** null: it is to collect nothing any more. */
  readonly rule: CollectRule | null;
}

export interface CollectedPullOptions {
  readonly storage: Pick<WorkspaceStorage, 'append' | 'forget' | 'list'>;
  /** The one that runs; undefined: none does. */
  readonly source: () => Promise<CollectedSource | undefined>;
  /** @param endpoint its id; deleted ones too, whose last pieces come afterwards */
  readonly ownerOf: (endpoint: string, deployment: string) => Promise<CollectedOwner | undefined>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** By outcome. */
  readonly pieces: Counter;
}

export class CollectedPull {
  private lost = 0;

  constructor(private readonly options: CollectedPullOptions) {}

  /** Until there is no more; what is left comes with the next, as when the service host goes meanwhile. */
  async run(): Promise<void> {
    try {
      await this.fetchAll();
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      // One of an older build does not know the question.
      const isUsual = error.traits.retry === 'later' || error.code === 'request.not-found';
      if (!isUsual || error.code.startsWith('disk.')) throw error;
    }
  }

  private async fetchAll(): Promise<void> {
    const source = await this.options.source();
    if (source === undefined) return;
    for (;;) {
      const { pieces, lost } = await source.collected();
      this.tellLost(lost);
      if (pieces.length === 0) return;
      const batches: StorageBatch[] = [];
      const added = new Map<string, number>();
      for (const piece of pieces) {
        const batch = await this.batchOf(piece, added);
        if (batch !== undefined) batches.push(batch);
      }
      for (const outcome of await this.options.storage.append(batches)) this.options.pieces.add({ outcome });
      await source.taken(pieces.map(({ endpoint, deployment, file }) => ({ endpoint, deployment, file })));
      for (const { workspace, source: from } of batches) await this.options.storage.forget(workspace, [from]);
    }
  }

  /** Undefined: nobody's. */
  private async batchOf(piece: CollectedPiece, added: Map<string, number>): Promise<StorageBatch | undefined> {
    const { ownerOf, pieces } = this.options;
    const { endpoint, deployment, file } = piece;
    const name = readPieceFile(file);
    const owner = name && (await ownerOf(endpoint, deployment));
    if (name === undefined || owner === undefined) {
      pieces.add({ outcome: 'unknown' });
      return undefined;
    }
    const parts = await this.partsOf(piece, name, owner, added);
    return { workspace: owner.workspace, source: `service/${endpoint}/${deployment}/${file}`, sequence: 1, parts };
  }

  private async partsOf(
    { deployment, lines }: CollectedPiece,
    { beginMs, collection, instance }: PieceName,
    { workspace, endpoint, rule }: CollectedOwner,
    added: Map<string, number>,
  ): Promise<StoragePart[]> {
    const { storage, clock, pieces } = this.options;
    if (rule === null) {
      pieces.add({ outcome: 'unasked' });
      return [];
    }
    const hour = hourOf(beginMs, clock.now());
    const path = collectedPath({ endpoint, deployment, collection, hour, instance });
    const whole = wholeLines(Buffer.from(lines)).filter(isEvent);
    const bytes = Buffer.from(whole.map((line) => `${line}\n`).join(''));
    const [stored] = await storage.list(workspace, path, 1);
    const before = (stored?.bytes ?? 0) + (added.get(path) ?? 0);
    if (before + bytes.length > rule.maxBytes) {
      pieces.add({ outcome: 'full' });
      return [];
    }
    added.set(path, (added.get(path) ?? 0) + bytes.length);
    return bytes.length === 0 ? [] : [{ path, hour, bytes }];
  }

  private tellLost(lost: number): void {
    // Less than before: the service host was started anew.
    const news = lost >= this.lost ? lost - this.lost : lost;
    this.lost = lost;
    if (news === 0) return;
    this.options.pieces.add({ outcome: 'lost' }, news);
    this.options.logger.warn({ pieces: news }, 'the service host let collected data go: it was not fetched in time');
  }
}

function isEvent(line: string): boolean {
  return collectedEventSchema.safeParse(JSON.parse(line)).success;
}
