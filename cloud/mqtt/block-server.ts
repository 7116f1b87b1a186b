/**
 * Serves the bytes of images to devices, chunk by chunk over MQTT. Invariants: a device gets nothing
 * that its desired document does not name; a chunk leaves only if its bytes have the hash that its map
 * says; per device at most 4 MiB are unacknowledged and a bounded number of frames under way, so a
 * device that stops reading holds up nobody and little memory.
 */
import { AppError, messageOf } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { sha256Hex } from '#shared/package/digest.js';
import {
  type BlocksRequest,
  type BlockStatus,
  blocksRequestSchema,
  encodeFrame,
  frameHeaderBytes,
  maxChunkBytes,
  maxWholeBlobBytes,
  writeFrameHeader,
} from '#shared/protocol/blocks.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import type { Digest } from '#shared/protocol/primitives.js';
import { buildTopic, channels, clientIdOf, type DeviceAddress } from '#shared/protocol/topics.js';
import type { Counter } from '#cloud/http/metrics.js';
import { BlobHandles } from './blob-handles.js';
import type { Allowance } from './block-allowance.js';
import { BlockCredit } from './block-credit.js';
import type { Broker } from './broker.js';
import { ChunkMapCache } from './chunk-map-cache.js';
import { Semaphore } from './semaphore.js';

export interface BlockStorage {
  pathOf(digest: Digest): string;
  readAll(digest: Digest, maxBytes: number): Promise<Buffer>;
}

export interface BlockServerOptions {
  readonly broker: Broker;
  readonly storage: BlockStorage;
  readonly allowanceOf: (address: DeviceAddress) => Promise<Allowance>;
  readonly logger: Logger;
  readonly ignored: Counter;
  /** Payload bytes sent. */
  readonly served: Counter;
}

/** One stretch of bytes to send, or why not. */
type Piece =
  | {
      readonly kind: 'bytes';
      readonly blob: Digest;
      readonly offset: number;
      readonly length: number;
      readonly total: number;
      readonly sha256?: string;
    }
  | { readonly kind: 'refused'; readonly status: BlockStatus };

type Source = (index: number) => Piece;

interface Lane {
  readonly address: DeviceAddress;
  readonly topic: string;
  readonly credit: BlockCredit;
  readonly slots: Semaphore;
  readonly waiting: BlocksRequest[];
  /** True while one run of `work` takes from `waiting`. */
  working: boolean;
  /** Frames and runs under way. */
  readonly under: Set<Promise<void>>;
}

/** Half of what the embedded broker lets wait for one reader: the rest is for everything else that it is sent. */
const framesPerDevice = 8;
const framesInAll = 128;
const requestsPerDevice = 64;
const maxLanes = 20_000;

export class BlockServer {
  private readonly lanes = new Map<string, Lane>();
  private readonly slots = new Semaphore(framesInAll);
  private readonly maps: ChunkMapCache;
  private readonly handles: BlobHandles;

  constructor(private readonly options: BlockServerOptions) {
    this.handles = new BlobHandles((digest) => options.storage.pathOf(digest));
    this.maps = new ChunkMapCache((digest, maxBytes) => options.storage.readAll(digest, maxBytes));
  }

  /** A request is answered in full, frame by frame, or dropped: the channel is QoS 0 and the device asks again. */
  take(address: DeviceAddress, payload: Buffer): void {
    const request = decodeMessage(blocksRequestSchema, payload);
    const lane = this.laneOf(address);
    if (!request.ok || lane.waiting.length >= requestsPerDevice) {
      this.options.ignored.add({ reason: request.ok ? 'overload' : 'malformed' });
      return;
    }
    lane.waiting.push(request.value);
    if (!lane.working) this.track(lane, this.work(lane));
  }

  async idle(): Promise<void> {
    for (const lane of this.lanes.values()) while (lane.under.size > 0) await Promise.all(lane.under);
  }

  /** Answers what has come, then lets go of the files. */
  async close(): Promise<void> {
    await this.idle();
    this.handles.close();
  }

  private track(lane: Lane, task: Promise<void>): void {
    lane.under.add(task);
    void task.finally(() => lane.under.delete(task));
  }

  /** Ends only when nothing waits, and says so in the same instant: a request that comes then starts the next run. */
  private async work(lane: Lane): Promise<void> {
    lane.working = true;
    for (let request = lane.waiting.shift(); request; request = lane.waiting.shift()) {
      lane.credit.note(request.session, request.acknowledged);
      const source = await this.sourceOf(lane.address, request);
      for (const index of request.indexes) {
        await lane.slots.acquire();
        this.track(lane, this.answer(lane, request.request, index, this.withinCredit(lane, source(index))));
      }
    }
    lane.working = false;
  }

  private withinCredit(lane: Lane, piece: Piece): Piece {
    return piece.kind === 'bytes' && !lane.credit.take(piece.length) ? { kind: 'refused', status: 'busy' } : piece;
  }

  private async sourceOf(address: DeviceAddress, { source }: BlocksRequest): Promise<Source> {
    try {
      const allowance = await this.options.allowanceOf(address);
      switch (source.kind) {
        case 'blob':
          return allowance.mayFetch(source.digest) ? await this.wholeBlob(source.digest) : refuseWith('notFound');
        case 'chunks':
          return allowance.mayFetchChunksOf(source.map)
            ? await this.chunksOf(source.map, allowance)
            : refuseWith('notFound');
      }
    } catch (error) {
      return refuseWith(this.statusOf(error, address));
    }
  }

  private async wholeBlob(digest: Digest): Promise<Source> {
    const total = await this.handles.size(digest);
    if (total === undefined || total > maxWholeBlobBytes) return refuseWith('notFound');
    return (index) => {
      const offset = index * maxChunkBytes;
      // An empty blob has one piece, so that a device that asks for it learns its size.
      if (offset >= Math.max(total, 1)) return { kind: 'refused', status: 'outOfRange' };
      return { kind: 'bytes', blob: digest, offset, length: Math.min(maxChunkBytes, total - offset), total };
    };
  }

  private async chunksOf(map: Digest, allowance: Allowance): Promise<Source> {
    const chunks = await this.maps.get(map);
    return (index) => {
      const chunk = chunks[index];
      if (!chunk) return { kind: 'refused', status: 'outOfRange' };
      // A map may name blobs of other images: what counts is what this device may fetch.
      if (!allowance.mayFetch(chunk.blob)) return { kind: 'refused', status: 'notFound' };
      const { blob, offset, length, sha256 } = chunk;
      return { kind: 'bytes', blob, offset, length, total: 0, sha256 };
    };
  }

  private async answer(lane: Lane, request: number, index: number, piece: Piece): Promise<void> {
    await this.slots.acquire();
    try {
      const frame = await this.frameOf(lane, request, index, piece);
      await this.options.broker.publish(lane.topic, frame, channels.blocksData);
      const bytes = frame.length - frameHeaderBytes;
      if (bytes > 0) this.options.served.add({}, bytes);
    } catch (error) {
      this.options.logger.debug({ device: lane.address.device, reason: messageOf(error) }, 'a block was not sent');
    } finally {
      this.slots.release();
      lane.slots.release();
    }
  }

  private async frameOf(lane: Lane, request: number, index: number, piece: Piece): Promise<Buffer> {
    if (piece.kind === 'refused') return emptyFrame(request, index, piece.status);
    try {
      // Read where the frame wants it: the bytes are not copied again before the socket.
      const frame = Buffer.allocUnsafe(frameHeaderBytes + piece.length);
      const bytes = frame.subarray(frameHeaderBytes);
      await this.handles.readInto(bytes, piece.blob, piece.offset);
      if (piece.sha256 !== undefined && sha256Hex(bytes) !== piece.sha256) {
        this.handles.forget(piece.blob);
        throw new AppError(
          'blob.corrupt',
          `chunk ${String(index)} of blob ${piece.blob} is damaged on disk: upload it again`,
        );
      }
      writeFrameHeader(frame, { request, status: 'ok', index, offset: piece.offset, total: piece.total });
      return frame;
    } catch (error) {
      return emptyFrame(request, index, this.statusOf(error, lane.address));
    }
  }

  private statusOf(error: unknown, address: DeviceAddress): BlockStatus {
    const code = error instanceof AppError ? error.code : 'internal';
    if (code === 'blob.not-found') return 'notFound';
    this.options.logger.error({ device: address.device, code, reason: messageOf(error) }, 'cannot serve a block');
    // What the disk could not read now it may read later.
    return code === 'blob.corrupt' || code === 'image.invalid' ? 'corrupt' : 'busy';
  }

  private laneOf(address: DeviceAddress): Lane {
    const key = clientIdOf(address);
    const known = this.lanes.get(key);
    if (known) return known;
    const lane: Lane = {
      address,
      topic: buildTopic({ ...address, channel: 'blocksData' }),
      credit: new BlockCredit(),
      slots: new Semaphore(framesPerDevice),
      waiting: [],
      working: false,
      under: new Set(),
    };
    this.lanes.set(key, lane);
    if (this.lanes.size > maxLanes) this.forgetIdleLane();
    return lane;
  }

  private forgetIdleLane(): void {
    for (const [key, lane] of this.lanes) {
      if (lane.under.size > 0) continue;
      this.lanes.delete(key);
      return;
    }
  }
}

function refuseWith(status: BlockStatus): Source {
  return () => ({ kind: 'refused', status });
}

function emptyFrame(request: number, index: number, status: BlockStatus): Buffer {
  return Buffer.from(encodeFrame({ request, status, index, offset: 0, total: 0, bytes: new Uint8Array(0) }));
}
