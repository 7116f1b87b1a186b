/** What measurements mean. Pure; times in milliseconds since the epoch, sizes in bytes. */
import type { Finding } from './finding.js';

const day = 86_400_000;
/** The agent renews long before; so late it has been trying in vain. */
const warnDays = 14;

/** @param nowMs the later of the wall clock and what was signed: a clock that is behind must not hide an end */
export function judgeCertificate(notAfterMs: number, nowMs: number): Finding {
  const days = Math.floor((notAfterMs - nowMs) / day);
  const until = new Date(notAfterMs).toISOString();
  if (notAfterMs <= nowMs) {
    return {
      outcome: 'error',
      message: `this device's certificate ended on ${until}`,
      remedy:
        'let the agent run with a connection: it renews within the grace period; after that, "flotilla device replace" gives a token to enrol with again',
    };
  }
  if (days < warnDays) {
    return {
      outcome: 'warning',
      message: `this device's certificate ends in ${String(days)} days, on ${until}`,
      remedy: 'the agent should have renewed it: see that it runs and reaches the gateway',
    };
  }
  return { outcome: 'ok', message: `this device's certificate is good for ${String(days)} days, until ${until}` };
}

/** @param reserveBytes what the agent leaves free for everything else */
export function judgeDisk(freeBytes: number, reserveBytes: number): Finding {
  const message = `${megabytes(freeBytes)} free, of which ${megabytes(reserveBytes)} are kept for everything else`;
  if (freeBytes < reserveBytes) {
    return {
      outcome: 'error',
      message,
      remedy: 'free some: new versions wait, and the oldest telemetry goes, until there is room',
    };
  }
  if (freeBytes < 2 * reserveBytes) {
    return { outcome: 'warning', message, remedy: 'free some before the next large model comes' };
  }
  return { outcome: 'ok', message };
}

/** Far enough to make log lines of two machines hard to compare. */
const clockToleranceMs = 60_000;

/** @param knownMs a time that was signed, or that the control plane told: the true time is not before it, but for {@link exact} */
export function judgeClock(wallMs: number, knownMs: number, exact: boolean): Finding {
  const behindMs = knownMs - wallMs;
  const off = exact ? Math.abs(behindMs) : Math.max(0, behindMs);
  if (off <= clockToleranceMs) {
    return {
      outcome: 'ok',
      message: exact
        ? `within ${String(Math.ceil(off / 1000))} s of the control plane's`
        : 'not behind the last signed time',
    };
  }
  return {
    outcome: 'warning',
    message: `the clock is ${duration(off)} ${behindMs > 0 ? 'behind' : 'ahead'}`,
    remedy: 'set up time synchronisation; the agent judges by signed times meanwhile, but shown times are wrong',
  };
}

/** @param mode of a file or folder that holds secrets */
export function judgeMode(path: string, mode: number): Finding {
  const shown = (mode & 0o777).toString(8);
  if ((mode & 0o077) === 0) return { outcome: 'ok', message: `${path} is for its owner alone (${shown})` };
  return {
    outcome: 'error',
    message: `${path} is open to others (mode ${shown})`,
    remedy: `chmod go= ${path}, and enrol anew if somebody may have read it`,
  };
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(0)} MB`;
}

function duration(ms: number): string {
  const hours = ms / 3_600_000;
  if (hours >= 48) return `${(hours / 24).toFixed(0)} days`;
  return hours >= 2 ? `${hours.toFixed(0)} hours` : `${(ms / 60_000).toFixed(0)} minutes`;
}
