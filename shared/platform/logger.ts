import { type DestinationStream, pino, type Logger as PinoLogger } from 'pino';
import { PinoPretty } from 'pino-pretty';

export type Logger = PinoLogger;

export interface LogOptions {
  readonly level: string;
  /** Human-readable lines instead of JSON; the caller asks whether it writes to a terminal. */
  readonly pretty: boolean;
  /** Gets every line as JSON besides, whatever standard error gets. */
  readonly tee?: DestinationStream;
}

/** Field names that never reach a log, at any depth that our records have. */
const secretFields = ['secret', 'password', 'token', 'authorization', 'privateKey'];

/** Logs go to standard error: standard output belongs to what a command answers. */
export function createLogger(name: string, options: LogOptions): Logger {
  const settings = {
    name,
    level: options.level,
    redact: { paths: secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]), censor: '[redacted]' },
  };
  // In this thread: a bundled program has no file for a worker to load.
  const standardError = options.pretty
    ? PinoPretty({ destination: 2, sync: true, ignore: 'pid,hostname', translateTime: 'HH:MM:ss.l' })
    : pino.destination({ dest: 2, sync: true });
  if (options.tee === undefined) return pino(settings, standardError);
  // The logger's own level decides; the streams take what it lets through.
  const streams = [standardError, options.tee].map((stream) => ({ stream, level: 'trace' as const }));
  return pino(settings, pino.multistream(streams));
}
