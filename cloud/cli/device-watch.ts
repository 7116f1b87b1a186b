/** Says when something may have changed: on a live event about it, and every while without one. */
import type { Clock } from '#shared/kernel/clock.js';
import type { FlotillaClient, LiveEvent } from '#cloud/client/flotilla-client.js';

const withEventsMs = 5000;
const withoutEventsMs = 1000;

/** Resolves on a change since it was made, after a while, or when the signal aborts; true when it was a change. */
export type Change = (atMostMs: number, signal: AbortSignal) => Promise<boolean>;

export interface Watch {
  /** Taken before the state is read, so that no change between reading and waiting is missed. */
  nextChange(): Change;
  close(): Promise<void>;
}

export function watchDevice(client: FlotillaClient, clock: Clock, device: string): Watch {
  return watchChanges(client, clock, ({ type, subject }) => type === 'device.changed' && subject === device);
}

export function watchChanges(client: FlotillaClient, clock: Clock, isAbout: (event: LiveEvent) => boolean): Watch {
  const stop = new AbortController();
  let live = true;
  let wake = new AbortController();
  const changed = (): void => {
    wake.abort();
    wake = new AbortController();
  };
  const reading = readEvents(client, isAbout, stop.signal, changed)
    // Without live events the state is asked for more often; that is all they are for.
    .catch(() => undefined)
    .finally(() => {
      live = false;
      changed();
    });
  return {
    nextChange: () => {
      const { signal: woken } = wake;
      return async (atMostMs, signal) => {
        const ms = Math.min(atMostMs, live ? withEventsMs : withoutEventsMs);
        await clock.sleep(ms, AbortSignal.any([woken, signal]));
        return woken.aborted;
      };
    },
    close: async () => {
      stop.abort();
      await reading;
    },
  };
}

async function readEvents(
  client: FlotillaClient,
  isAbout: (event: LiveEvent) => boolean,
  signal: AbortSignal,
  changed: () => void,
): Promise<void> {
  for await (const event of await client.events(signal)) {
    if (isAbout(event)) changed();
  }
}
