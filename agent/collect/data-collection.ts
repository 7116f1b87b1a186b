/**
 * Data collection of one device, wired: hosts are told what to collect, and what they leave goes to the control plane
 * after telemetry and events, within a budget of its own. What the operator takes back, and what the owner of the
 * device does not allow, is removed here.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { Desired } from '#shared/protocol/desired.js';
import type { DeviceEvent } from '#shared/protocol/stream.js';
import { maxDataBatchBytes } from '#shared/protocol/stream.js';
import type { DeviceAddress } from '#shared/protocol/topics.js';
import { SingleFlight } from '#shared/platform/single-flight.js';
import { PieceFolder } from '#shared/scoring/collect/piece-folder.js';
import type { StateFolder } from '#agent/store/state-folder.js';
import { StreamSender } from '#agent/telemetry/stream-sender.js';
import { ByteBudget } from './byte-budget.js';
import type { CollectSettings } from './collect-settings.js';
import { collectRulesOf, refusedModules } from './collect-rules.js';
import { DataSpool } from './data-spool.js';

export interface DataCollectionParts {
  readonly clock: Clock;
  readonly folder: Pick<StateFolder, 'collect' | 'spool'>;
  readonly address: DeviceAddress;
  readonly bootId: number;
  readonly collect: CollectSettings;
  readonly desired: () => Pick<Desired, 'modules'> | undefined;
  /** Nothing of more worth waits to be sent. */
  readonly mayGo: () => boolean;
  readonly publish: (message: Readonly<Record<string, unknown>>) => Promise<boolean>;
  readonly raise: (event: Omit<DeviceEvent, 'at'>) => void;
  readonly onError: (error: unknown) => void;
}

const lookEveryMs = 2_000;
/** Of up to 64 KiB each: less than what is in flight of blocks. */
const window = { window: 4, patienceMs: 15_000 };

export class DataCollection {
  private readonly flight: SingleFlight;
  private readonly sender: StreamSender;
  private readonly folder: PieceFolder;
  private timer: NodeJS.Timeout | undefined;
  private told = '';
  /** Before it is known what is desired, all that waits. */
  private isCollected: (module: string) => boolean = () => true;
  private lost = 0;

  private constructor(
    private readonly parts: DataCollectionParts,
    private readonly spool: DataSpool,
  ) {
    const { clock, collect, onError } = parts;
    const budget = new ByteBudget(collect.maxBytesPerDay, 2 * maxDataBatchBytes, () => clock.monotonic());
    this.folder = new PieceFolder(parts.folder.collect, clock);
    this.flight = new SingleFlight(() => this.look(), onError);
    this.sender = new StreamSender(
      spool,
      {
        clock,
        onError,
        mayGo: () => parts.mayGo() && budget.isOpen,
        publish: (message) => {
          budget.spend(JSON.stringify(message).length);
          return parts.publish(message);
        },
      },
      window,
    );
  }

  /** Hosts that start from now on find what they are to collect. */
  static async open(parts: DataCollectionParts): Promise<DataCollection> {
    const { folder, bootId, collect } = parts;
    const spool = await DataSpool.open({ folder: folder.spool('data'), bootId, maxBytes: collect.maxSpoolBytes });
    const collection = new DataCollection(parts, spool);
    // A full disk is no reason not to start: what was asked before holds until it is written.
    await collection.folder
      .prepare()
      .then(() => collection.follow())
      .catch(parts.onError);
    return collection;
  }

  get size(): { readonly batches: number; readonly bytes: number } {
    return this.spool.size;
  }

  start(): void {
    this.timer ??= setInterval(() => this.flight.wake(), lookEveryMs);
  }

  linkChanged(up: boolean): void {
    this.sender.linkChanged(up);
  }

  acknowledged(bootId: number, upTo: number): void {
    this.sender.acknowledged(bootId, upTo).catch(this.parts.onError);
  }

  /** After hosts have ended: what they left last is kept for the next start. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.flight.stop();
    await this.sender.stop();
  }

  /** What is due every few seconds. */
  async look(): Promise<void> {
    await this.follow();
    const { maxSpoolBytes } = this.parts.collect;
    const pieces = await this.folder.finished();
    let gone = (await this.folder.bound(pieces, maxSpoolBytes)).length;
    for (const piece of pieces.slice(gone)) {
      if (this.isCollected(piece.module)) gone += await this.spool.add(piece, this.folder.path);
      // A host had it open when it was told to stop.
      else await this.folder.remove(piece);
    }
    if (gone > 0) this.tellLost(gone);
    this.sender.wake();
  }

  private async follow(): Promise<void> {
    const { address, collect, raise } = this.parts;
    const desired = this.parts.desired();
    const rules = collectRulesOf(address, desired, collect.allow);
    const text = canonicalJson({ rules, known: desired !== undefined });
    if (text === this.told) return;
    await this.folder.writeRules(rules);
    const refused = refusedModules(desired, collect.allow);
    if (refused.length > 0) {
      const message = `nothing is collected of ${refused.join(', ')}: collect.allow of this device says no`;
      raise({ level: 'warn', type: 'collect.refused', message });
    }
    // What is desired may not be known yet after a start; then what waits stays.
    if (desired !== undefined) {
      this.isCollected = (module) => Object.hasOwn(rules.modules, module);
      await this.spool.dropOthers(this.isCollected);
    }
    this.told = text;
  }

  private tellLost(pieces: number): void {
    this.lost += pieces;
    const message = `${String(pieces)} pieces of collected data were dropped for want of room`;
    this.parts.raise({ level: 'warn', type: 'collect.dropped', message, details: { pieces, total: this.lost } });
  }
}
