/**
 * What a scoring host collects in a container goes to the service host over the link, piece by piece: the container has
 * no folder of the machine to leave it in.
 */
import { systemClock } from '#shared/kernel/clock.js';
import type { CollectRules } from '#shared/protocol/collect.js';
import { type Piece, PieceFolder } from '#shared/scoring/collect/piece-folder.js';

const lookEveryMs = 500;
/** The oldest go first where nobody takes them: it is memory. */
const maxHeldBytes = 16 * 1024 * 1024;
const answerPatienceMs = 2_000;

export class CollectRelay {
  private readonly pieces: PieceFolder;
  private readonly looking = new AbortController();
  private kept: (file: string) => void = () => undefined;
  private passing: Promise<void> = Promise.resolve();

  constructor(
    folder: string,
    private readonly send: (file: string, lines: string) => void,
  ) {
    this.pieces = new PieceFolder(folder, systemClock);
  }

  async open(): Promise<void> {
    await this.pieces.prepare();
    void this.follow();
  }

  async setRules(rules: CollectRules): Promise<void> {
    await this.pieces.prepare();
    await this.pieces.writeRules(rules);
  }

  /** The service host has it. */
  taken(file: string): void {
    this.kept(file);
  }

  /** What is finished is passed on; for when the scoring host has ended. */
  async close(): Promise<void> {
    this.looking.abort();
    await this.passing;
    await this.passAll();
  }

  private async follow(): Promise<void> {
    while (!this.looking.signal.aborted) {
      this.passing = this.passAll();
      await this.passing;
      await systemClock.sleep(lookEveryMs, this.looking.signal);
    }
  }

  private async passAll(): Promise<void> {
    try {
      const pieces = await this.pieces.finished();
      const gone = new Set(await this.pieces.bound(pieces, maxHeldBytes));
      for (const piece of pieces.filter((one) => !gone.has(one))) if (!(await this.pass(piece))) return;
    } catch (error) {
      console.error('collected data cannot be passed on:', error);
    }
  }

  /** @returns whether it was taken */
  private async pass(piece: Piece): Promise<boolean> {
    const bytes = await this.pieces.read(piece);
    if (bytes === undefined) return true;
    const answer = new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), answerPatienceMs);
      this.kept = (file) => {
        if (file !== piece.file) return;
        clearTimeout(timer);
        resolve(true);
      };
    });
    this.send(piece.file, bytes.toString('utf8'));
    const taken = await answer;
    if (taken) await this.pieces.remove(piece);
    return taken;
  }
}
