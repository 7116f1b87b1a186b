/** Which versions should answer next: what is desired, as far as it is ready, allowed and not put off. Pure. */
import { type Desired, updatePolicyOf } from '#shared/protocol/desired.js';
import { type Calendar, windowOpensAt, windowOpenSince } from '#agent/reconcile/calendar.js';
import { entry, type Observed, type ServingSet, type Track, versionKeyOf } from '#agent/reconcile/observed.js';
import type { Waiting } from '#agent/reconcile/plan.js';
import { unreadyBefore } from '#agent/reconcile/start-after.js';

export function desiredSetOf(desired: Desired): ServingSet {
  return Object.fromEntries(Object.entries(desired.modules).map(([name, module]) => [name, versionKeyOf(module)]));
}

export interface NextSet {
  readonly set: ServingSet;
  /** Why a version that is ready is not in it. */
  readonly waiting: readonly Waiting[];
}

/** New versions where they are ready, incumbents elsewhere. */
export function nextSet(
  desired: Desired,
  observed: Observed,
  startAfterMs: number,
  now: number,
  calendar: Calendar,
): NextSet {
  const set: Record<string, string> = {};
  const waiting: Waiting[] = [];
  const { serving } = observed;
  const wanted = desiredSetOf(desired);
  const groups = groupsOf(desired);
  for (const name of [...new Set([...Object.keys(wanted), ...Object.keys(serving.set)])].sort()) {
    const key = entry(wanted, name);
    const incumbent = entry(serving.set, name);
    const changes = key !== incumbent && (key === undefined || isReady(entry(observed.tracks, name), key));
    const put = (version: string | undefined): void => {
      if (version !== undefined) set[name] = version;
    };
    if (!changes) {
      // What nothing desires any more is gone, not kept for want of another.
      put(incumbent);
      continue;
    }
    const others = entry(groups, updatePolicyOf(entry(desired.modules, name)).atomic ?? '') ?? [name];
    const ready = (other: string): boolean => isReadyOrThere(desired, observed, other);
    const missing = others.filter((other) => !ready(other));
    const before = key === undefined ? undefined : unreadyBefore(desired, observed, others, ready, startAfterMs);
    const busy = key === undefined ? [name] : others;
    const until = Math.max(...busy.map((other) => busyUntil(desired, observed, other, now, calendar) ?? now));
    const opensAt = laterOf(busy.map((other) => windowOpensAt(desired, observed, other, now, calendar)));
    const proved = key === undefined || busy.every((other) => isProvedOrThere(desired, observed, other));
    if (missing.length > 0) {
      waiting.push({ kind: 'together', module: name, group: groupOf(desired, name) ?? '', missing });
      put(incumbent);
    } else if (opensAt !== undefined && proved) {
      waiting.push({ kind: 'window', module: name, opensAt });
      put(incumbent);
    } else if (opensAt === undefined && until > now) {
      const reason = reasonOf(observed, busy, name);
      waiting.push({ kind: 'busy', module: name, deadline: until, reason });
      put(incumbent);
    } else if (before !== undefined && before.deadline > now) {
      waiting.push({ kind: 'startAfter', module: name, ...before });
      put(incumbent);
    } else put(key);
  }
  return { set, waiting };
}

/** Versions that are ready, or need not be made so. */
export function isReady(track: Track | undefined, key: string): boolean {
  if (track === undefined || track.key !== key) return false;
  return ['staged', 'proving', 'proved', 'probation', 'active'].includes(track.state);
}

/** A set that no group is torn apart by. */
export function keepsGroups(desired: Desired, observed: Observed, set: ServingSet): boolean {
  const wanted = desiredSetOf(desired);
  return Object.values(groupsOf(desired)).every((names) => {
    const changed = names.filter((name) => set[name] !== entry(observed.serving.set, name));
    return changed.length === 0 || names.every((name) => entry(set, name) === entry(wanted, name));
  });
}

/**
 * Until when the module may not be replaced, by its own word and within what the policy allows it.
 *
 * @returns undefined when it may
 */
export function busyUntil(
  desired: Desired,
  observed: Observed,
  name: string,
  now: number,
  calendar: Calendar,
): number | undefined {
  const deferral = entry(observed.deferrals, name);
  const incumbent = entry(observed.serving.set, name);
  if (deferral === undefined || incumbent === undefined) return undefined;
  const module = entry(desired.modules, name);
  if (module !== undefined && versionKeyOf(module) === incumbent) return undefined;
  const readyAt = entry(observed.tracks, name)?.readyAt ?? observed.acceptedAt;
  // Before its window it need not put anything off.
  const from = Math.max(readyAt, windowOpenSince(desired, name, now, calendar) ?? readyAt);
  const until = Math.min(deferral.until, from + updatePolicyOf(module).maxDeferSeconds * 1000);
  return until > now ? until : undefined;
}

function isReadyOrThere(desired: Desired, observed: Observed, name: string): boolean {
  const module = entry(desired.modules, name);
  if (module === undefined) return true;
  const key = versionKeyOf(module);
  return entry(observed.serving.set, name) === key || isReady(entry(observed.tracks, name), key);
}

function isProvedOrThere(desired: Desired, observed: Observed, name: string): boolean {
  const module = entry(desired.modules, name);
  if (module === undefined) return true;
  const key = versionKeyOf(module);
  const track = entry(observed.tracks, name);
  return entry(observed.serving.set, name) === key || (track?.key === key && track.state === 'proved');
}

function laterOf(instants: readonly (number | undefined)[]): number | undefined {
  const known = instants.filter((at) => at !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

function reasonOf(observed: Observed, names: readonly string[], name: string): string {
  const said = names.flatMap((other) => {
    const reason = entry(observed.deferrals, other)?.reason;
    return reason === undefined ? [] : [other === name ? reason : `${other}: ${reason}`];
  });
  return said.join('; ');
}

function groupOf(desired: Desired, name: string): string | undefined {
  return updatePolicyOf(entry(desired.modules, name)).atomic;
}

function groupsOf(desired: Desired): Record<string, string[]> {
  const groups: Record<string, string[]> = {};
  for (const name of Object.keys(desired.modules).sort()) {
    const group = groupOf(desired, name);
    if (group === undefined) continue;
    groups[group] = [...(Object.hasOwn(groups, group) ? (groups[group] ?? []) : []), name];
  }
  return groups;
}
