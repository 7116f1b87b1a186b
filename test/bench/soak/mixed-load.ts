/** Sends kinds of requests at a bounded rate, and counts what came of them. */
import { connect } from 'node:net';
import { HttpConnection } from '../http-client.js';
import { LatencyHistogram } from '../latency-histogram.js';
import { pickKind, type Kind } from './kinds.js';

const tickMs = 10;
const mostOutstanding = 64;
/** Well below what a host closes idle connections after. */
const longestIdleMs = 2000;
const goneAfterMs = 20;

export interface Counts {
  scored: number;
  /** Answered as expected: by a refusal. */
  refused: number;
  abandoned: number;
  /** Of a model that was not loaded at the time. */
  unloaded: number;
  latency: LatencyHistogram;
  unexpected: string[];
}

interface Client {
  readonly send: (kind: Kind) => void;
  readonly close: () => void;
  idleSinceMs: number;
}

export class MixedLoad {
  /** Models that are on their way in or out: their requests may be refused. */
  readonly unloadedModels = new Set<string>();
  private counts = noCounts();
  private readonly idle: Client[] = [];
  private outstanding = 0;
  private due = 0;
  private lastTickMs = performance.now();
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly port: number,
    private readonly kinds: readonly Kind[],
    private readonly perSecond: number,
    private readonly random: () => number,
  ) {
    this.timer = setInterval(() => this.tick(), tickMs);
  }

  /** Since they were last taken. */
  take(): Counts {
    const { counts } = this;
    this.counts = noCounts();
    return counts;
  }

  /** Once all that was asked is answered. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    while (this.outstanding > 0) await new Promise((resolve) => setTimeout(resolve, tickMs));
    for (const client of this.idle.splice(0)) client.close();
  }

  private tick(): void {
    const nowMs = performance.now();
    this.due += ((nowMs - this.lastTickMs) / 1000) * this.perSecond;
    this.lastTickMs = nowMs;
    // What could not be sent in time is not made up for later.
    this.due = Math.min(this.due, mostOutstanding);
    while (this.due >= 1 && this.outstanding < mostOutstanding) {
      this.due -= 1;
      const kind = pickKind(this.kinds, this.random());
      if (kind) this.start(kind, nowMs);
    }
  }

  private start(kind: Kind, nowMs: number): void {
    this.outstanding += 1;
    if (kind.expected === 'half-way' || kind.expected === 'before the answer') {
      this.abandon(kind.request, kind.expected === 'half-way');
      return;
    }
    let client = this.idle.pop();
    if (client && nowMs - client.idleSinceMs > longestIdleMs) {
      client.close();
      client = undefined;
    }
    (client ?? this.open()).send(kind);
  }

  private open(): Client {
    let asked: { readonly kind: Kind; readonly sentMs: number; readonly mayRefuse: boolean } | undefined;
    const ended = (status: number, reason: string): void => {
      const nowMs = performance.now();
      this.outstanding -= 1;
      if (asked) this.count(asked, status, reason, nowMs);
      client.idleSinceMs = nowMs;
      this.idle.push(client);
    };
    const connection = new HttpConnection(this.port, {
      answered: ({ status }) => ended(status, `status ${String(status)}`),
      failed: (reason) => ended(0, reason),
    });
    const client: Client = {
      idleSinceMs: 0,
      send: (kind) => {
        const mayRefuse = kind.model !== undefined && this.unloadedModels.has(kind.model);
        asked = { kind, sentMs: performance.now(), mayRefuse };
        connection.send(kind.request);
      },
      close: () => connection.close(),
    };
    return client;
  }

  private count(
    { kind, sentMs, mayRefuse }: { readonly kind: Kind; readonly sentMs: number; readonly mayRefuse: boolean },
    status: number,
    reason: string,
    nowMs: number,
  ): void {
    const model = kind.model;
    if (status === kind.expected) {
      if (status === 200) {
        this.counts.scored += 1;
        this.counts.latency.add(nowMs - sentMs);
      } else this.counts.refused += 1;
    } else if (model !== undefined && status >= 400 && (mayRefuse || this.unloadedModels.has(model))) {
      this.counts.unloaded += 1;
    } else this.counts.unexpected.push(`${kind.name}: ${reason}`);
  }

  /** A client that goes away, with its request sent by half or whole. */
  private abandon(request: Buffer, half: boolean): void {
    const socket = connect(this.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.once('connect', () => {
      socket.write(half ? request.subarray(0, request.length >> 1) : request);
      setTimeout(() => socket.destroy(), half ? goneAfterMs : 0);
    });
    socket.once('close', () => {
      this.outstanding -= 1;
      this.counts.abandoned += 1;
    });
  }
}

function noCounts(): Counts {
  return { scored: 0, refused: 0, abandoned: 0, unloaded: 0, latency: new LatencyHistogram(), unexpected: [] };
}
