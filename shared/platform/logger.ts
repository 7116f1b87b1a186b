import { pino, type Logger as PinoLogger } from 'pino';

export type Logger = PinoLogger;

export interface LogOptions {
  readonly level: string;
  /** Human-readable lines instead of JSON; the caller asks whether it writes to a terminal. */
  readonly pretty: boolean;
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
  if (!options.pretty) return pino(settings, pino.destination({ dest: 2, sync: true }));
  return pino({
    ...settings,
    transport: {
      target: 'pino-pretty',
      options: { destination: 2, ignore: 'pid,hostname', translateTime: 'HH:MM:ss.l' },
    },
  });
}
