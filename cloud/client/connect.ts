import { systemClock } from '#shared/kernel/clock.js';
import { FlotillaClient } from './flotilla-client.js';
import type { ServerAuthority } from './server-authority.js';

export interface ConnectOptions {
  /** Of the control plane. */
  readonly url: URL | string;
  /** Of the API: `flotilla token create`. */
  readonly token: string;
  /** `default` without it. */
  readonly workspace?: string | undefined;
  /** The only one that is believed of the server: see `learnAuthority`. */
  readonly authority?: ServerAuthority | undefined;
  /** Ends every call that is under way. */
  readonly signal?: AbortSignal | undefined;
}

/** A client of a control plane. Nothing is sent before the first call; `close()` ends what it keeps open. */
export function connectFlotilla(options: ConnectOptions): FlotillaClient {
  const { url, token, workspace = 'default', authority, signal } = options;
  return new FlotillaClient({
    ...{ url: new URL(url), token, workspace, authority, userAgent: 'flotilla-client' },
    ...{ clock: systemClock, random: Math.random, signal: signal ?? new AbortController().signal },
  });
}
