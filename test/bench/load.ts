/**
 * Load on one server. Closed: a number of connections that each wait for an answer before they ask again. Open:
 * requests at a fixed rate, however slow the answers; what waits for a connection waits as part of its latency.
 */
import { HttpConnection, type Answer } from './http-client.js';
import { LatencyHistogram, type EncodedHistogram } from './latency-histogram.js';

export interface LoadResult {
  readonly answers: number;
  readonly failures: number;
  /** The first of them. */
  readonly failure?: string;
  readonly seconds: number;
  readonly latency: EncodedHistogram;
}

export interface Target {
  readonly port: number;
  readonly request: Uint8Array;
}

class Tally {
  readonly latency = new LatencyHistogram();
  private answers = 0;
  private failures = 0;
  private failure: string | undefined;
  private readonly startedMs = performance.now();

  answered({ status }: Answer): void {
    if (status === 200) this.answers += 1;
    else this.failed(`status ${String(status)}`);
  }

  failed(reason: string): void {
    this.failures += 1;
    this.failure ??= reason;
  }

  get result(): LoadResult {
    const { answers, failures, failure } = this;
    const seconds = (performance.now() - this.startedMs) / 1000;
    return {
      answers,
      failures,
      ...(failure === undefined ? {} : { failure }),
      seconds,
      latency: this.latency.encode(),
    };
  }
}

/** Ends once the last answer is there, so that the server is idle again. */
export async function closedLoad(target: Target, connections: number, seconds: number): Promise<LoadResult> {
  const tally = new Tally();
  const untilMs = performance.now() + seconds * 1000;
  await Promise.all(
    Array.from(
      { length: connections },
      () =>
        new Promise<void>((resolve) => {
          let sentMs = 0;
          // All start at once: the first answers waited for one another as no later ones do.
          let isFirst = true;
          const next = (): void => {
            if (performance.now() >= untilMs) {
              connection.close();
              resolve();
              return;
            }
            sentMs = performance.now();
            connection.send(target.request);
          };
          const connection = new HttpConnection(target.port, {
            answered: (answer) => {
              tally.answered(answer);
              if (!isFirst) tally.latency.add(performance.now() - sentMs);
              isFirst = false;
              next();
            },
            failed: (reason) => {
              tally.failed(reason);
              // A server that refuses every connection must not make us spin.
              setTimeout(next, 10);
            },
          });
          next();
        }),
    ),
  );
  return tally.result;
}

const openConnections = 64;

/** Looks at the clock without pause, because timers are too coarse: it needs a core of its own. */
export async function openLoad(target: Target, perSecond: number, seconds: number): Promise<LoadResult> {
  const tally = new Tally();
  const startMs = performance.now();
  const total = Math.max(1, Math.floor(perSecond * seconds));
  const dueMs = (index: number): number => startMs + (index * 1000) / perSecond;
  const idle: { readonly start: (due: number) => void; readonly close: () => void }[] = [];
  let sent = 0;
  let ended = 0;
  for (let index = 0; index < openConnections; index++) {
    let since = 0;
    const free = (): void => {
      ended += 1;
      idle.push(client);
    };
    const connection = new HttpConnection(target.port, {
      answered: (answer) => {
        tally.answered(answer);
        tally.latency.add(performance.now() - since);
        free();
      },
      failed: (reason) => {
        tally.failed(reason);
        free();
      },
    });
    const client = {
      start: (due: number): void => {
        since = due;
        connection.send(target.request);
      },
      close: () => connection.close(),
    };
    idle.push(client);
  }
  while (ended < total) {
    while (sent < total && performance.now() >= dueMs(sent)) {
      const client = idle.pop();
      if (!client) break;
      client.start(dueMs(sent));
      sent += 1;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  for (const client of idle) client.close();
  return tally.result;
}
