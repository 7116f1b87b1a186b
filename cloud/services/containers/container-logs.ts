/** Follows what a container writes, line by line, as much as is kept of a process. */
import { PassThrough, type Readable } from 'node:stream';
import { systemClock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { LineTail } from '#shared/supervisor/line-tail.js';
import { LogBudget, usualLogRate } from '#shared/supervisor/log-budget.js';
import { LogFrames, type LogPiece } from './log-frames.js';

export interface FollowedLogs {
  /** Resolves when nothing more comes. */
  readonly ended: Promise<void>;
  /** The last so far. */
  lines(): readonly string[];
}

/**
 * @param answering podman answers when there is a first line, and not before
 */
export function followLogs(answering: Promise<Readable>, onLog: (line: string) => void): FollowedLogs {
  const now = (): number => systemClock.monotonic();
  const tail = new LineTail({
    onLine: onLog,
    onDropped: ({ lines }) => onLog(`${String(lines)} lines were dropped: it writes more than is kept`),
    budget: new LogBudget(usualLogRate, now()),
    now,
  });
  const streams = { stdout: new PassThrough(), stderr: new PassThrough() };
  for (const stream of Object.values(streams)) tail.read(stream);
  const end = (error?: Error): void => {
    if (error !== undefined && error.name !== 'AbortError' && !isGivenUp(error)) {
      tail.add(`its output can no longer be followed: ${error.message}`);
    }
    for (const stream of Object.values(streams)) stream.end();
  };
  const ended = Promise.all(Object.values(streams).map((stream) => new Promise((over) => stream.on('end', over)))).then(
    () => undefined,
  );
  answering.then((answer) => readFrames(answer, streams, end), end);
  return { ended, lines: () => tail.lines };
}

function readFrames(
  answer: Readable,
  streams: Readonly<Record<LogPiece['stream'], PassThrough>>,
  end: (error?: Error) => void,
): void {
  const frames = new LogFrames();
  answer.on('data', (bytes: Buffer) => {
    try {
      for (const piece of frames.push(bytes)) {
        const stream = streams[piece.stream];
        if (stream.write(piece.bytes)) continue;
        answer.pause();
        stream.once('drain', () => answer.resume());
      }
    } catch (error) {
      answer.destroy(error instanceof Error ? error : undefined);
    }
  });
  answer.on('end', () => end());
  answer.on('error', end);
}

function isGivenUp(error: Error): boolean {
  return error instanceof AppError && error.code === 'request.aborted';
}
