/**
 * Copies of live requests to a deployment that is being watched. Invariants: a live answer never waits for its copy; what is
 * held for copies is bounded in number and bytes; a copy is sent when the live answer is out, and only where a replica is
 * free for it, else it is dropped and counted.
 */
import { setImmediate } from 'node:timers';
import { jsonLengthHeader } from '#shared/scoring/codec/json-length.js';
import type { AnswerHead } from './answer-head.js';
import type { FrontImage } from './front-table.js';
import type { Lane } from './lane.js';
import { ReplicaCall } from './replica-call.js';
import { type AskedOfReplica, headForReplica } from './request-head.js';
import { statusOf } from './refusal.js';

/** Undefined image: it is not known which. */
export interface AnsweredBy {
  readonly deployment: string;
  readonly image: FrontImage | undefined;
}

export interface AnswerSeen extends AnsweredBy {
  /** Of the replica; what the front would say, where none answered. */
  readonly status: number;
  readonly latencyMs: number;
  readonly contentType: string | undefined;
  /** Of V2's binary form: the bytes of JSON before the tensors. */
  readonly jsonLength: string | undefined;
  /** Undefined: more than is kept, or none came. */
  readonly body: Buffer | undefined;
}

/** A copy that was to be made, and was not: there was no room. */
export interface MirrorDrop {
  readonly endpointId: string;
  readonly live: AnsweredBy;
  readonly mirrored: AnsweredBy;
}

export interface MirroredPair {
  readonly requestId: string;
  readonly endpointId: string;
  /** Path and query at the replica. */
  readonly target: string;
  readonly live: AnswerSeen;
  readonly mirrored: AnswerSeen;
}

export interface MirrorBounds {
  /** Copies held or under way, of all endpoints. */
  readonly maxCopies: number;
  /** Of their requests, and of the answers that are kept to compare. */
  readonly maxBytes: number;
  /** Of one answer that is kept. */
  readonly maxAnswerBytes: number;
}

export const usualBounds: MirrorBounds = {
  maxCopies: 64,
  maxBytes: 64 * 1024 * 1024,
  maxAnswerBytes: 1024 * 1024,
};

export interface MirrorPorts {
  monotonicMs(): number;
  mirrored(pair: MirroredPair): void;
  dropped(drop: MirrorDrop): void;
}

/** What a copy is made of, besides the body. */
export interface Original extends Pick<AskedOfReplica, 'method' | 'target' | 'rawHeaders' | 'requestId'> {
  readonly endpointId: string;
  /** Which answers live. */
  readonly live: Lane;
}

export class Mirror {
  private copies = 0;
  private bytes = 0;

  constructor(
    private readonly bounds: MirrorBounds,
    private readonly ports: MirrorPorts,
  ) {}

  /** @returns undefined where there is no room */
  begin(original: Original, lane: Lane): Copy | undefined {
    if (this.copies >= this.bounds.maxCopies) {
      countDrop(original, lane, this.ports);
      return undefined;
    }
    this.copies += 1;
    return new Copy(original, lane, this.bounds.maxAnswerBytes, this.ports, {
      take: (bytes) => {
        if (this.bytes + bytes > this.bounds.maxBytes) return false;
        this.bytes += bytes;
        return true;
      },
      giveBack: (bytes) => {
        this.copies -= 1;
        this.bytes -= bytes;
      },
    });
  }
}

interface Room {
  take(bytes: number): boolean;
  giveBack(bytes: number): void;
}

/** Whether an answer is kept, and what of it. */
class KeptAnswer {
  private head: AnswerHead | undefined;
  private chunks: Buffer[] | undefined = [];
  private length = 0;

  constructor(
    private readonly maxBytes: number,
    private readonly hold: (bytes: number) => boolean,
  ) {}

  begin(head: AnswerHead): void {
    this.head = head;
  }

  add(chunk: Buffer): void {
    this.length += chunk.length;
    if (this.length > this.maxBytes || !this.hold(chunk.length)) this.chunks = undefined;
    this.chunks?.push(chunk);
  }

  /** @param status where no answer came */
  seen(by: AnsweredBy, latencyMs: number, status?: number): AnswerSeen {
    const { head, chunks } = this;
    return {
      ...by,
      status: status ?? head?.status ?? 0,
      latencyMs,
      contentType: fieldOf(head, 'content-type'),
      jsonLength: fieldOf(head, jsonLengthHeader),
      body: status === undefined && chunks ? Buffer.concat(chunks) : undefined,
    };
  }
}

/** One request that is copied. The end is `send`, or `forget`. */
export class Copy {
  private readonly chunks: Buffer[] = [];
  private held = 0;
  private over = false;
  private readonly live: KeptAnswer;

  constructor(
    private readonly original: Original,
    private readonly lane: Lane,
    private readonly maxAnswerBytes: number,
    private readonly ports: MirrorPorts,
    private readonly room: Room,
  ) {
    this.live = this.keeper();
  }

  /** Of the request's body. */
  add(chunk: Buffer): void {
    if (this.over) return;
    if (this.hold(chunk.length)) this.chunks.push(chunk);
    else this.drop();
  }

  liveHead(head: AnswerHead): void {
    this.live.begin(head);
  }

  liveData(chunk: Buffer): void {
    if (!this.over) this.live.add(chunk);
  }

  /** The live answer is out. @param status where the front answered in place of a replica */
  send(by: AnsweredBy, latencyMs: number, status?: number): void {
    if (this.over) return;
    const live = this.live.seen(by, latencyMs, status);
    setImmediate(() => this.ask(live));
  }

  /** The client left, or its request was none. */
  forget(): void {
    if (this.over) return;
    this.over = true;
    this.chunks.length = 0;
    this.room.giveBack(this.held);
  }

  private drop(): void {
    countDrop(this.original, this.lane, this.ports);
    this.forget();
  }

  private ask(live: AnswerSeen): void {
    const { lane, original, ports } = this;
    if (!lane.hasRoom) {
      lane.wake();
      this.drop();
      return;
    }
    const body = Buffer.concat(this.chunks);
    const head = headForReplica({ ...original, framing: { kind: 'length', bytes: body.length } });
    if (head === undefined) {
      this.forget();
      return;
    }
    const kept = this.keeper();
    const startedMs = ports.monotonicMs();
    const end = (latencyMs: number, outcome: 'answered' | 'failed', status?: number): void => {
      lane.tally.mirrored[outcome] += 1;
      const mirrored = kept.seen({ deployment: lane.name, image: call.image }, latencyMs, status);
      const { requestId, endpointId, target } = original;
      this.forget();
      ports.mirrored({ requestId, endpointId, target, live, mirrored });
    };
    const call = new ReplicaCall(
      lane,
      { method: original.method, head, body, scores: true },
      {
        head: (answer) => kept.begin(answer),
        data: (chunk) => {
          kept.add(chunk);
          return true;
        },
        done: (latencyMs) => end(latencyMs, 'answered'),
        failed: ({ error }) => end(ports.monotonicMs() - startedMs, 'failed', statusOf(error, 'score')),
      },
      () => ports.monotonicMs(),
    );
    call.start();
  }

  private keeper(): KeptAnswer {
    return new KeptAnswer(this.maxAnswerBytes, (bytes) => this.hold(bytes));
  }

  private hold(bytes: number): boolean {
    if (!this.room.take(bytes)) return false;
    this.held += bytes;
    return true;
  }
}

function countDrop({ endpointId, live }: Original, lane: Lane, ports: MirrorPorts): void {
  lane.tally.mirrored.dropped += 1;
  ports.dropped({
    endpointId,
    live: { deployment: live.name, image: live.image },
    mirrored: { deployment: lane.name, image: lane.image },
  });
}

function fieldOf(head: AnswerHead | undefined, name: string): string | undefined {
  const at = head?.fields.findIndex((field, index) => index % 2 === 0 && field === name) ?? -1;
  return at < 0 ? undefined : head?.fields[at + 1];
}
