/**
 * Maintenance windows on this device: what time it is for them, and who waits for one. Pure.
 *
 * A module's window holds for what takes over from it. One that goes without a successor goes together with what
 * changes beside it: while that waits for its window, so does this.
 */
import { type Desired, updatePolicyOf } from '#shared/protocol/desired.js';
import { windowsAt } from '#shared/protocol/maintenance-window.js';
import { entry, type Observed, versionKeyOf } from '#agent/reconcile/observed.js';

export interface Calendar {
  /** The time of day minus the monotonic clock, in milliseconds. */
  readonly offset: number;
  readonly timeZone: string;
}

/**
 * The wall clock says what time of day it is, and trusted time that it is at least so late: a machine that starts
 * without a clock of its own goes by that.
 *
 * @param trusted see trusted-time.ts
 */
export function calendarOf(wall: number, trusted: number, monotonic: number, timeZone: string): Calendar {
  return { offset: Math.max(wall, trusted) - monotonic, timeZone };
}

/**
 * When the module may change, in milliseconds since the epoch: whole ones, which do not tremble with two clocks.
 *
 * @param now monotonic
 * @returns undefined when it may now
 */
export function windowOpensAt(
  desired: Desired,
  observed: Observed,
  name: string,
  now: number,
  calendar: Calendar,
): number | undefined {
  const own = entry(desired.modules, name);
  if (own !== undefined) return opensAt(own, now, calendar);
  const beside = Object.entries(desired.modules)
    .filter(([other, module]) => {
      const track = entry(observed.tracks, other);
      return entry(observed.serving.set, other) !== versionKeyOf(module) && track?.state !== 'rejected';
    })
    .flatMap(([, module]) => opensAt(module, now, calendar) ?? []);
  return beside.length === 0 ? undefined : Math.max(...beside);
}

/** Since when, by the monotonic clock, its window has been open; undefined: it has none, or it is closed. */
export function windowOpenSince(desired: Desired, name: string, now: number, calendar: Calendar): number | undefined {
  const { windows } = updatePolicyOf(entry(desired.modules, name));
  if (windows === undefined) return undefined;
  const state = windowsAt(windows, calendar.timeZone, now + calendar.offset);
  return state.open ? state.since - calendar.offset : undefined;
}

function opensAt(module: Desired['modules'][string], now: number, { offset, timeZone }: Calendar): number | undefined {
  const { windows } = updatePolicyOf(module);
  if (windows === undefined) return undefined;
  const state = windowsAt(windows, timeZone, now + offset);
  return state.open ? undefined : state.opensAt;
}
