/** Asks a child again and again whether its loop still turns, and condemns one that does not. */
import { AppError } from '#shared/kernel/errors.js';
import type { HostChild } from './host-child.js';

/** How often it is asked, and how long it may be silent. */
export interface Liveness {
  readonly everyMs: number;
  readonly silenceMs: number;
}

type Pinged = { readonly type: string };

/** @param child takes `{type: 'ping'}` and answers `{type: 'pong'}` */
export function watchLiveness<To extends object, From extends Pinged>(
  child: HostChild<To, From>,
  ping: To,
  { everyMs, silenceMs }: Liveness,
): void {
  let asked = false;
  const ask = async (): Promise<void> => {
    if (asked) return;
    asked = true;
    // A loop that turns no more cannot be told to end.
    const timer = setTimeout(() => child.condemn({ kind: 'silent', numbers: { silentMs: silenceMs } }), silenceMs);
    timer.unref();
    try {
      await child.ask(ping, (message) => (message.type === 'pong' ? true : undefined));
    } catch (error) {
      if (!(error instanceof AppError && error.code === 'process.failed')) throw error;
    } finally {
      clearTimeout(timer);
      asked = false;
    }
  };
  const timer = setInterval(() => void ask(), everyMs);
  timer.unref();
  void child.exited.then(() => clearInterval(timer));
}
