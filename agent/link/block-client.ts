/**
 * Pulls chunks from the control plane over an unreliable channel. Invariants: at most
 * `maxUnacknowledgedBytes` are asked for and not yet processed; a chunk is handed on only with the
 * length, place and SHA-256 that it must have, and only once; whatever is lost is asked for again in a
 * new session. `acknowledged` rises when bytes have been processed, so a slow disk slows the sender.
 */
import { AppError } from '#shared/kernel/errors.js';
import type { Clock } from '#shared/kernel/clock.js';
import {
  type BlockFrame,
  type BlockSource,
  type BlocksRequest,
  decodeFrame,
  maxUnacknowledgedBytes,
} from '#shared/protocol/blocks.js';
import { Transfer, type WantedChunk } from '#agent/link/block-transfer.js';

export interface BlockClientOptions {
  readonly windowBytes: number;
  /** A request asks for about this much; several are in flight. */
  readonly requestBytes: number;
  /** Silence after which what is outstanding counts as lost; doubles, up to `maxStallMs`, while nothing comes. */
  readonly stallMs: number;
  readonly maxStallMs: number;
  readonly busyPauseMs: number;
}

export const defaultBlockOptions: BlockClientOptions = {
  windowBytes: maxUnacknowledgedBytes,
  requestBytes: 1024 * 1024,
  stallMs: 5_000,
  maxStallMs: 60_000,
  busyPauseMs: 250,
};

export interface BlockClientPorts {
  readonly clock: Clock;
  /** Puts a request on the wire; what cannot be sent is lost, and asked for again later. */
  readonly publish: (request: BlocksRequest) => void;
  /** The first request id and session, so that answers to an earlier process are not taken for ours. */
  readonly firstId: number;
}

interface Outstanding {
  readonly transfer: Transfer;
  readonly session: number;
  readonly indexes: Set<number>;
}

const maxIndexes = 256;
const idSpace = 0x1_0000_0000;

export class BlockClient {
  private readonly transfers: Transfer[] = [];
  private readonly outstanding = new Map<number, Outstanding>();
  private session: number;
  private request: number;
  private acknowledged = 0;
  private inFlight = 0;
  private up = false;
  private quietSince = 0;
  private stalls = 0;
  private pausedUntil = 0;
  private watch: AbortController | undefined;

  constructor(
    private readonly ports: BlockClientPorts,
    private readonly options: BlockClientOptions = defaultBlockOptions,
  ) {
    this.session = ports.firstId % idSpace;
    this.request = ports.firstId % idSpace;
  }

  /**
   * Resolves when `write` has taken every chunk, in any order.
   *
   * @throws AppError what the control plane refused, what the bytes failed, or what `write` threw
   */
  async fetch(
    source: BlockSource,
    chunks: readonly WantedChunk[],
    write: (chunk: WantedChunk, bytes: Uint8Array) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    if (chunks.length === 0) return;
    const transfer = new Transfer(source, chunks, write);
    const abort = (): void => transfer.fail(new AppError('request.aborted', 'the download was called off'));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    this.transfers.push(transfer);
    this.startWatch();
    this.pump();
    try {
      await transfer.done;
    } finally {
      signal.removeEventListener('abort', abort);
      this.forget(transfer);
      this.pump();
    }
  }

  linkChanged(up: boolean): void {
    this.up = up;
    this.newSession();
    this.stalls = 0;
    this.pump();
  }

  /** A payload of the channel; anything that is no answer to a question of ours is ignored. */
  receive(payload: Uint8Array): void {
    const frame = decodeFrame(payload);
    if (!frame.ok) return;
    const asked = this.outstanding.get(frame.value.request);
    if (asked === undefined || !asked.indexes.delete(frame.value.index)) return;
    if (asked.indexes.size === 0) this.outstanding.delete(frame.value.request);
    this.quietSince = this.ports.clock.monotonic();
    this.stalls = 0;
    const counted = asked.session === this.session;
    const expected = asked.transfer.lengthOf(frame.value.index);
    this.take(asked.transfer, frame.value)
      .catch((error: unknown) => asked.transfer.fail(error))
      .finally(() => {
        if (counted && asked.session === this.session) {
          this.inFlight -= expected;
          this.acknowledged += frame.value.bytes.length;
        }
        this.pump();
      });
  }

  private async take(transfer: Transfer, frame: BlockFrame): Promise<void> {
    switch (frame.status) {
      case 'ok':
        await transfer.accept(frame.index, frame.offset, frame.bytes);
        return;
      case 'busy':
        transfer.putBack([frame.index]);
        this.pausedUntil = this.ports.clock.monotonic() + this.options.busyPauseMs;
        return;
      case 'notFound':
        throw new AppError(
          'blob.not-found',
          `the control plane does not have ${describe(transfer.source)} for this device`,
        );
      case 'outOfRange':
        throw new AppError('image.invalid', `${describe(transfer.source)} has no chunk ${String(frame.index)}`);
      case 'corrupt':
        throw new AppError(
          'blob.corrupt',
          `${describe(transfer.source)} is damaged in the control plane's store; register it again there`,
        );
    }
  }

  /** Asks for more, transfer by transfer in turn, as far as the window allows. */
  private pump(): void {
    if (!this.up || this.ports.clock.monotonic() < this.pausedUntil) return;
    for (let asked = true; asked; ) {
      asked = false;
      for (const transfer of [...this.transfers]) {
        const room = this.options.windowBytes - this.inFlight;
        // Small scraps of room are left to gather, unless nothing else is under way.
        if (room < Math.min(this.options.requestBytes, transfer.queuedBytes) && this.inFlight > 0) continue;
        const indexes = transfer.next(room, this.options.requestBytes, maxIndexes);
        if (indexes.length === 0) continue;
        this.ask(transfer, indexes);
        asked = true;
      }
    }
  }

  private ask(transfer: Transfer, indexes: readonly number[]): void {
    if (this.inFlight === 0) this.quietSince = this.ports.clock.monotonic();
    this.request = (this.request + 1) % idSpace;
    this.outstanding.set(this.request, { transfer, session: this.session, indexes: new Set(indexes) });
    for (const index of indexes) this.inFlight += transfer.lengthOf(index);
    this.ports.publish({
      schema: 1,
      request: this.request,
      session: this.session,
      acknowledged: this.acknowledged,
      source: transfer.source,
      indexes: [...indexes],
    });
  }

  /** What is outstanding may still come, and is then taken; but it is asked for again. */
  private newSession(): void {
    for (const { transfer, session, indexes } of this.outstanding.values()) {
      if (session === this.session) transfer.putBack([...indexes]);
    }
    this.session = (this.session + 1) % idSpace;
    this.acknowledged = 0;
    this.inFlight = 0;
    this.quietSince = this.ports.clock.monotonic();
  }

  private forget(transfer: Transfer): void {
    this.transfers.splice(this.transfers.indexOf(transfer), 1);
    let cut = false;
    for (const [request, asked] of this.outstanding) {
      if (asked.transfer !== transfer) continue;
      cut ||= asked.session === this.session;
      this.outstanding.delete(request);
    }
    // Its answers will be ignored, so they must not be waited for in the count.
    if (cut) this.newSession();
    if (this.transfers.length === 0) this.watch?.abort();
  }

  private startWatch(): void {
    if (this.watch !== undefined) return;
    const controller = new AbortController();
    this.watch = controller;
    this.watchStalls(controller.signal)
      .catch((error: unknown) => {
        for (const transfer of this.transfers) transfer.fail(error);
      })
      .finally(() => {
        this.watch = undefined;
        if (this.transfers.length > 0) this.startWatch();
      });
  }

  private async watchStalls(signal: AbortSignal): Promise<void> {
    const { clock } = this.ports;
    while (!signal.aborted) {
      await clock.sleep(Math.min(this.options.stallMs, this.options.busyPauseMs), signal);
      const patience = Math.min(this.options.maxStallMs, this.options.stallMs * 2 ** Math.min(this.stalls, 16));
      if (this.up && this.inFlight > 0 && clock.monotonic() - this.quietSince >= patience) {
        this.stalls += 1;
        this.newSession();
      }
      this.pump();
    }
  }
}

function describe(source: BlockSource): string {
  return source.kind === 'blob' ? source.digest : `an image with chunk map ${source.map}`;
}
