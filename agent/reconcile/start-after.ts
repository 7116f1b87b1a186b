/** Modules that start after others wait until those answer, for so long and no longer. Pure. */
import type { Desired } from '#shared/protocol/desired.js';
import { entry, type Observed } from '#agent/reconcile/observed.js';

export interface Before {
  readonly missing: readonly string[];
  /** Then it starts without them. */
  readonly deadline: number;
}

/**
 * What versions that are ready must start after and is not ready itself.
 *
 * @param names modules that take over together: among them the set sees to the order
 * @param isReady whether the version that is desired of a module answers, or could
 */
export function unreadyBefore(
  desired: Desired,
  observed: Observed,
  names: readonly string[],
  isReady: (name: string) => boolean,
  waitMs: number,
): Before | undefined {
  const found = new Set(names.flatMap((name) => beforesOf(desired, name)));
  const missing = [...found].filter((name) => !names.includes(name) && !isReady(name)).sort();
  if (missing.length === 0) return undefined;
  const since = names.map((name) => entry(observed.tracks, name)?.readyAt ?? observed.acceptedAt);
  return { missing, deadline: Math.max(...since) + waitMs };
}

/** What a script that ended must start after and does not run, but will: what was given up is not waited for. */
export function downBefore(
  desired: Desired | undefined,
  { serving: { scripts } }: Observed,
  module: string,
  waitMs: number,
): Before | undefined {
  const own = entry(scripts, module);
  const since = own === undefined || own.state === 'absent' ? undefined : own.exits.at(-1)?.atMs;
  if (desired === undefined || since === undefined) return undefined;
  const missing = beforesOf(desired, module).filter((name) => {
    const state = entry(scripts, name)?.state;
    return state !== undefined && state !== 'running' && state !== 'stopped';
  });
  return missing.length === 0 ? undefined : { missing, deadline: since + waitMs };
}

/** Of those that are desired as well; the others are nothing to wait for. */
function beforesOf({ modules }: Desired, name: string): readonly string[] {
  return (entry(modules, name)?.startAfter ?? []).filter((before) => Object.hasOwn(modules, before));
}
