/** What the planner is told about the device: plain data, no handles. Times are monotonic milliseconds. */
import type { Problem } from '#shared/kernel/errors.js';
import type { DesiredModule, ImageReference } from '#shared/protocol/desired.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { Counted } from '#shared/supervisor/probation.js';
import type { TrackState } from '#agent/reconcile/track-state.js';

/**
 * One version of a module: what must be the same for two to be the same running thing. The restart
 * policy is not in it: a new policy is obeyed at once, without replacing anything.
 */
export type VersionKey = string;

export function versionKeyOf(module: Pick<DesiredModule, 'image' | 'settings'>): VersionKey {
  return canonicalJson([module.image.digest, module.image.version, module.settings]);
}

export interface Progress {
  /** Payload bytes that came over the network for this version since this boot. */
  readonly bytesFetched: number;
  /** Bytes taken from other images on this disk. */
  readonly bytesReused: number;
  /** Bytes of an earlier, interrupted download that were still good. */
  readonly bytesResumed: number;
  readonly bytesTotal: number;
}

/** How far one desired version has come. Modules go by name, prefetched images by digest. */
export interface Track {
  readonly key: VersionKey;
  readonly image: ImageReference;
  readonly state: TrackState;
  /** Failures so far, from which the next pause is planned. */
  readonly attempts: number;
  /** When it came into this state. */
  readonly since: number;
  /** In [0, 1), drawn when the state was entered, so that plans need no randomness. */
  readonly jitter: number;
  readonly problem?: Problem;
  readonly progress?: Progress;
  /** What was measured of it: golden vectors, probation. */
  readonly numbers?: Readonly<Record<string, number>>;
  /** When it was verified and unpacked: from then on its module may put it off. */
  readonly readyAt?: number;
  /** Takes over together with the other tracks of the group, or not at all. */
  readonly group?: string;
}

/** The set a host serves: version by module name. */
export type ServingSet = Readonly<Record<string, VersionKey>>;

export interface Exit {
  readonly atMs: number;
  readonly clean: boolean;
}

/** A host process that should run. */
export type ProcessObservation =
  | { readonly state: 'absent' }
  | { readonly state: 'starting'; readonly since: number; readonly exits: readonly Exit[] }
  | { readonly state: 'running'; readonly exits: readonly Exit[] }
  | { readonly state: 'down'; readonly exits: readonly Exit[]; readonly jitter: number; readonly reason: string }
  /** Restarted too often; left alone until the next generation or a person's restart. */
  | { readonly state: 'stopped'; readonly exits: readonly Exit[]; readonly reason: string };

export interface CandidateObservation {
  readonly set: ServingSet;
  readonly state: 'starting' | 'loaded';
  readonly since: number;
  /** The module whose golden vectors run right now, and since when. */
  readonly proving?: { readonly module: string; readonly since: number };
}

/** What the versions on probation and the ones before them have done, at one moment. */
export interface ProbationSample {
  readonly at: number;
  readonly modules: Readonly<Record<string, { readonly candidate: Counted; readonly incumbent: Counted }>>;
  /** Of the processes that the two sets do not share; absent where the machine does not tell. */
  readonly memory?: { readonly candidateBytes: number; readonly incumbentBytes: number };
}

export interface ProbationObservation {
  readonly since: number;
  /** Versions that came with the switch, by module. */
  readonly changed: ServingSet;
  /** Those of them that replaced another one, and are judged by their requests. */
  readonly watched: readonly string[];
  /** The set before it: loaded, not accepting. */
  readonly fallback: ServingSet;
  /** When the hosts were last asked. */
  readonly askedAt?: number;
  readonly sample?: ProbationSample;
  readonly crash?: { readonly module: string | undefined; readonly reason: string };
}

/** A version that gets copies of a module's requests, in processes of its own. */
export interface ShadowObservation {
  readonly key: VersionKey;
  readonly process: ProcessObservation;
  /** What really runs it. */
  readonly provider?: string;
  /** The rule by which copies go to it, as JSON; absent: none do. */
  readonly mirrored?: string;
  /** Of its golden vectors, and of its answers beside the live ones. */
  readonly numbers?: Readonly<Record<string, number>>;
}

/** A module says that it must not be replaced now. */
export interface Deferral {
  readonly until: number;
  readonly reason: string;
}

export interface Observed {
  readonly tracks: Readonly<Record<string, Track>>;
  readonly serving: {
    readonly set: ServingSet;
    readonly host: ProcessObservation;
    /** Processes of modules with user code in the serving set. */
    readonly scripts: Readonly<Record<string, ProcessObservation>>;
    /** A person asked for the host to be started anew: replaced by its like, so that no request is lost. */
    readonly restartDue: boolean;
  };
  readonly candidate?: CandidateObservation;
  /** The serving set is new, and not committed to yet. */
  readonly probation?: ProbationObservation;
  readonly deferrals: Readonly<Record<string, Deferral>>;
  /** By module. */
  readonly shadows: Readonly<Record<string, ShadowObservation>>;
  /** When the document that counts was accepted. */
  readonly acceptedAt: number;
  /** A switch replaced a host, which still accepts until what replaced it is committed. */
  readonly retiring: boolean;
  /** When replaced hosts stopped accepting that still finish what they have: until then, old answers. */
  readonly draining: readonly number[];
  readonly committed: { readonly generation: number; readonly set: ServingSet };
  readonly linkUp: boolean;
  readonly garbageDue: boolean;
}

export const nothingObserved: Observed = {
  tracks: {},
  serving: { set: {}, host: { state: 'absent' }, scripts: {}, restartDue: false },
  deferrals: {},
  shadows: {},
  acceptedAt: 0,
  retiring: false,
  draining: [],
  committed: { generation: 0, set: {} },
  linkUp: false,
  garbageDue: false,
};

export function sameSet(a: ServingSet, b: ServingSet): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

/** Own entry or undefined: names come from outside, so `constructor` must not find the prototype's. */
export function entry<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}
