/**
 * Downloads under way, one a track. A track that is asked for with another version gives up the one
 * it has. Two tracks that need the same image take turns on it, and the second finds it done.
 */
import { AppError, type Problem, toProblem } from '#shared/kernel/errors.js';
import type { ImageReference } from '#shared/protocol/desired.js';
import type { Progress, VersionKey } from '#agent/reconcile/observed.js';

export interface FetcherPorts {
  /** Brings the image into the cache and unpacks it; throws AppError. */
  readonly fetch: (
    image: ImageReference,
    staged: boolean,
    onProgress: (progress: Progress) => void,
    signal: AbortSignal,
  ) => Promise<void>;
  readonly onProgress: (track: string, key: VersionKey, progress: Progress) => void;
  readonly onDone: (track: string, key: VersionKey) => void;
  readonly onFailed: (track: string, key: VersionKey, problem: Problem) => void;
  /** A bug, or a failure of the machine that no code names. */
  readonly onUnexpected: (error: unknown) => void;
}

interface Job {
  readonly key: VersionKey;
  readonly controller: AbortController;
  readonly done: Promise<void>;
}

export class Fetcher {
  private readonly jobs = new Map<string, Job>();
  private readonly turns = new Map<string, Promise<void>>();

  constructor(private readonly ports: FetcherPorts) {}

  /** @param staged unpack it too: it is to run */
  start(track: string, key: VersionKey, image: ImageReference, staged: boolean): void {
    const existing = this.jobs.get(track);
    if (existing?.key === key) return;
    existing?.controller.abort();
    const controller = new AbortController();
    const before = this.turns.get(image.digest) ?? Promise.resolve();
    const done = before.then(() => this.run(track, key, image, staged, controller.signal));
    this.turns.set(image.digest, done);
    const job: Job = { key, controller, done };
    this.jobs.set(track, job);
    void done.then(() => {
      if (this.jobs.get(track) === job) this.jobs.delete(track);
      if (this.turns.get(image.digest) === done) this.turns.delete(image.digest);
    });
  }

  async cancel(track: string): Promise<void> {
    const job = this.jobs.get(track);
    job?.controller.abort();
    await job?.done;
  }

  async stop(): Promise<void> {
    await Promise.all([...this.jobs.keys()].map((track) => this.cancel(track)));
    await Promise.all(this.turns.values());
  }

  /** Never throws. */
  private async run(
    track: string,
    key: VersionKey,
    image: ImageReference,
    staged: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const { ports } = this;
    if (signal.aborted) return;
    try {
      await ports.fetch(image, staged, (progress) => ports.onProgress(track, key, progress), signal);
      if (!signal.aborted) ports.onDone(track, key);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof AppError)) ports.onUnexpected(error);
      ports.onFailed(track, key, toProblem(error));
    }
  }
}
