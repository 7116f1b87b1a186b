/** The set that a start without network serves: in memory as on disk. */
import type { JsonDocument } from '#shared/platform/atomic-file.js';
import type { DesiredModule } from '#shared/protocol/desired.js';
import {
  entry,
  nothingObserved,
  type Observed,
  type ServingSet,
  type Track,
  versionKeyOf,
} from '#agent/reconcile/observed.js';
import type { Committed, CommittedModule } from '#agent/store/state-documents.js';

export const nothingCommitted: Committed = { generation: 0, modules: {}, previous: {} };

export class CommittedState {
  constructor(
    private readonly document: JsonDocument<Committed>,
    private current: Committed,
  ) {}

  get value(): Committed {
    return this.current;
  }

  async write(next: Committed): Promise<void> {
    await this.document.write(next);
    this.current = next;
  }
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

/** What is committed next, with the way back of every module that is still there. */
export function nextCommitted(
  before: Committed,
  generation: number,
  served: Readonly<Record<string, DesiredModule>>,
  tracks: Readonly<Record<string, Track>>,
): Committed {
  const modules: Record<string, CommittedModule> = {};
  const previous: Record<string, Committed['previous'][string]> = {};
  for (const [name, desired] of Object.entries(served)) {
    const old = entry(before.modules, name);
    const same = old !== undefined && old.desired.image.digest === desired.image.digest;
    const track = entry(tracks, name);
    const progress = track?.key === versionKeyOf(desired) ? track.progress : undefined;
    modules[name] = { desired, numbers: progress === undefined && same ? old.numbers : { ...progress } };
    const wayBack = same || old === undefined ? entry(before.previous, name) : old.desired.image;
    if (wayBack !== undefined) previous[name] = wayBack;
  }
  return { generation, modules, previous };
}
