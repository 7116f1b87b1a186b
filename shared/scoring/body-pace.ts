/**
 * How slowly a body may come. A few clients that declare much and send little would otherwise hold the
 * memory set aside for them, and with it the port, for as long as they like.
 */
import type { IncomingMessage } from 'node:http';
import { AppError } from '#shared/kernel/errors.js';

export interface BodyPace {
  /** Nothing need come for this long. */
  readonly graceMs: number;
  /** From then on, what must have come on average. */
  readonly bytesPerSecond: number;
}

export const defaultPace: BodyPace = { graceMs: 10_000, bytesPerSecond: 16 * 1024 };

/** Emitted on the request, with the failure, when its body is given up. */
export const tooSlow = 'flotilla-too-slow';

/**
 * How much longer a body may take; not above 0: it is too slow.
 *
 * @param receivedBytes of the body, so far
 */
export function paceLeftMs(pace: BodyPace, elapsedMs: number, receivedBytes: number): number {
  return pace.graceMs + (receivedBytes / pace.bytesPerSecond) * 1000 - elapsedMs;
}

export function tooSlowly({ graceMs, bytesPerSecond }: BodyPace): AppError {
  return new AppError(
    'request.timeout',
    `the body came too slowly: within ${String(graceMs)} ms, then at ${String(bytesPerSecond)} bytes a second at least`,
  );
}

/**
 * Watches a request whose body is being read elsewhere.
 *
 * @returns ends the watch; may be called twice
 */
export function watchPace(request: IncomingMessage, pace: BodyPace | undefined): () => void {
  if (!pace || request.complete) return () => undefined;
  // The connection counts what was read from it; a timer alone, so that the common body costs no listener.
  const bytesBefore = request.socket.bytesRead;
  let waitMs = pace.graceMs;
  let elapsedMs = 0;
  const check = (): void => {
    if (request.complete) return;
    elapsedMs += waitMs;
    const leftMs = paceLeftMs(pace, elapsedMs, request.socket.bytesRead - bytesBefore);
    if (leftMs > 0) {
      waitMs = Math.ceil(leftMs);
      timer = setTimeout(check, waitMs);
    } else request.emit(tooSlow, tooSlowly(pace));
  };
  let timer = setTimeout(check, waitMs);
  return () => clearTimeout(timer);
}
