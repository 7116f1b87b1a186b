/** The end of a process as an event for the cloud: why, with numbers, and its last lines without secrets. Pure. */
import { redactSecrets } from '#shared/kernel/redact-secrets.js';
import type { DeviceEvent } from '#shared/protocol/stream.js';
import { causeText, type ExitCause } from '#shared/supervisor/exit-cause.js';

const sentLines = 10;
const sentLineLength = 400;

/** @param module undefined: the scoring host, which is all modules' */
export function crashEvent(module: string | undefined, cause: ExitCause): Omit<DeviceEvent, 'at'> {
  const { kind, code, signal, numbers, lastLines } = cause;
  return {
    level: 'error',
    type: module === undefined ? 'host.crashed' : 'module.crashed',
    ...(module === undefined ? {} : { module }),
    message: crashReason(module, cause),
    details: {
      cause: kind,
      ...(code === null ? {} : { code }),
      ...(signal === null ? {} : { signal }),
      ...numbers,
      lastLines: lastLines.slice(-sentLines).map((line) => redactSecrets(line).slice(0, sentLineLength)),
    },
  };
}

export function crashReason(module: string | undefined, cause: ExitCause): string {
  const what = module === undefined ? 'the scoring host' : 'its script host';
  return redactSecrets(`${what} ended: ${causeText(cause)}`);
}
