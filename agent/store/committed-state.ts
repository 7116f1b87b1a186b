/** The set that a start without network serves: in memory as on disk. */
import type { JsonDocument } from '#shared/platform/atomic-file.js';
import { type DesiredModule, type ImageReference, updatePolicyOf } from '#shared/protocol/desired.js';
import {
  entry,
  nothingObserved,
  type Observed,
  type ServingSet,
  type Track,
  versionKeyOf,
} from '#agent/reconcile/observed.js';
import type { Committed, CommittedModule } from '#agent/store/state-documents.js';

export const nothingCommitted: Committed = { generation: 0, modules: {}, kept: {} };

export class CommittedState {
  private turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly document: JsonDocument<Committed>,
    private current: Committed,
  ) {}

  get value(): Committed {
    return this.current;
  }

  /**
   * Changes one after another, so that none is made from what another has replaced. On disk when it resolves.
   *
   * @param make what is next, with what to answer; undefined: nothing changes
   */
  async change<T>(
    make: (current: Committed) => { readonly next: Committed; readonly answer: T } | undefined,
  ): Promise<T | undefined> {
    const turn = this.turn.then(async () => {
      const made = make(this.current);
      if (made === undefined) return undefined;
      await this.document.write(made.next);
      this.current = made.next;
      return made.answer;
    });
    this.turn = turn.catch(() => undefined);
    return turn;
  }
}

/** Of all versions that are kept for a return the one that is furthest back; undefined when none is. */
export function withoutOldestKept(
  current: Committed,
): { readonly next: Committed; readonly answer: ImageReference } | undefined {
  const [longest] = Object.entries(current.kept).sort(([, a], [, b]) => b.length - a.length);
  const oldest = longest?.[1].at(-1);
  if (longest === undefined || oldest === undefined) return undefined;
  const [name, ways] = longest;
  return { next: { ...current, kept: { ...current.kept, [name]: ways.slice(0, -1) } }, answer: oldest.image };
}

/** Before anything was looked at: what was committed is to be served. */
export function observedAtStart(committed: Committed): Observed {
  const set = committedSetOf(committed);
  return {
    ...nothingObserved,
    serving: { ...nothingObserved.serving, set },
    committed: { generation: committed.generation, set },
    garbageDue: true,
  };
}

export function committedSetOf(committed: Committed): ServingSet {
  return Object.fromEntries(
    Object.entries(committed.modules).map(([name, { desired }]) => [name, versionKeyOf(desired)]),
  );
}

/** What is committed next, with the ways back of every module that is still there. */
export function nextCommitted(
  before: Committed,
  generation: number,
  served: Readonly<Record<string, DesiredModule>>,
  tracks: Readonly<Record<string, Track>>,
): Committed {
  const modules: Record<string, CommittedModule> = {};
  const kept: Record<string, DesiredModule[]> = {};
  for (const [name, desired] of Object.entries(served)) {
    const old = entry(before.modules, name);
    const same = old !== undefined && old.desired.image.digest === desired.image.digest;
    const track = entry(tracks, name);
    const progress = track?.key === versionKeyOf(desired) ? track.progress : undefined;
    modules[name] = { desired, numbers: progress === undefined && same ? old.numbers : { ...progress } };
    const ways = waysBack(old?.desired, entry(before.kept, name) ?? [], desired);
    if (ways.length > 0) kept[name] = ways;
  }
  return { generation, modules, kept };
}

/** The latest first, each version once, without the one that answers; as many as its policy asks for. */
function waysBack(old: DesiredModule | undefined, kept: readonly DesiredModule[], now: DesiredModule): DesiredModule[] {
  const seen = new Set([versionKeyOf(now)]);
  const ways: DesiredModule[] = [];
  for (const one of old === undefined ? kept : [old, ...kept]) {
    const key = versionKeyOf(one);
    if (seen.has(key)) continue;
    seen.add(key);
    ways.push(one);
  }
  return ways.slice(0, updatePolicyOf(now).keepVersions);
}
