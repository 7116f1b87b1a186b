/**
 * What a service host knows of its replicas, and how each fact changes it. Pure: the plan and the status are
 * made from this alone. Times are monotonic milliseconds of this process.
 */
import type { Problem } from '#shared/kernel/errors.js';
import type { DesiredDeployment } from '../desired-services.js';

/**
 * `starting`: not ready yet. `ready`: takes requests. `unready`: lives, and says that it takes none. `draining`:
 * takes nothing new and ends. `down`: ended by itself.
 */
export type ReplicaState = 'starting' | 'ready' | 'unready' | 'draining' | 'down';

export interface ReplicaOf {
  /** The endpoint's id. */
  readonly endpoint: string;
  readonly deployment: string;
  /** Of what it runs: see {@link versionOf}. */
  readonly version: string;
  readonly revision: number;
}

export interface ObservedReplica extends ReplicaOf {
  /** Rises with each replica that this process starts; the id is made of it. */
  readonly sequence: number;
  readonly state: ReplicaState;
  readonly sinceMs: number;
  /** When it ended by itself, the latest last; only the last few. */
  readonly exits: readonly number[];
  readonly restarts: number;
  /** From 0 to 1, drawn at its last end: how its pause is spread. */
  readonly jitter: number;
  readonly problem?: Problem;
}

/** How starting went of what one deployment ran, or was to run. */
export interface ObservedVersion extends ReplicaOf {
  readonly wasReady: boolean;
  /** Starts in a row that failed, while none ever succeeded. */
  readonly failedStarts: number;
  readonly failedAtMs: number;
  readonly problem?: Problem;
}

export interface ObservedServices {
  readonly replicas: readonly ObservedReplica[];
  readonly versions: readonly ObservedVersion[];
  /** What was ready last, by {@link keyOf}: it stays until what is desired now is ready. Kept on disk. */
  readonly kept: Readonly<Record<string, DesiredDeployment>>;
  /** How many replicas the load asks for, by {@link keyOf}; absent: as many as the document says. */
  readonly wanted: Readonly<Record<string, number>>;
}

export const nothingObserved: ObservedServices = { replicas: [], versions: [], kept: {}, wanted: {} };

export type ServiceFact =
  | ({ readonly kind: 'started'; readonly sequence: number; readonly atMs: number } & ReplicaOf)
  | { readonly kind: 'restarted' | 'drained'; readonly sequence: number; readonly atMs: number }
  | { readonly kind: 'ready'; readonly sequence: number; readonly atMs: number; readonly ran: DesiredDeployment }
  | { readonly kind: 'unready'; readonly sequence: number; readonly atMs: number; readonly problem: Problem }
  | {
      readonly kind: 'exited';
      readonly sequence: number;
      readonly atMs: number;
      readonly jitter: number;
      readonly problem: Problem;
    }
  /** It was told to end, and has. */
  | { readonly kind: 'gone'; readonly sequence: number }
  | { readonly kind: 'wanted'; readonly key: string; readonly replicas: number }
  /** Who counts has changed: what was refused for its signature may start now. */
  | { readonly kind: 'trusted' }
  /** Whatever is not named is forgotten. */
  | { readonly kind: 'desired'; readonly keys: ReadonlySet<string>; readonly versions: ReadonlySet<string> };

const keptExits = 20;

export function keyOf({ endpoint, deployment }: Pick<ReplicaOf, 'endpoint' | 'deployment'>): string {
  return `${endpoint}/${deployment}`;
}

/** A deployment that was deleted and made again may have the same revision with another image. */
export function versionOf({ revision, image }: Pick<DesiredDeployment, 'revision' | 'image'>): string {
  return `${String(revision)}@${image.digest}`;
}

export function grouped<T>(all: readonly T[], keyFor: (one: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const key = keyFor(one);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  return groups;
}

export function observe(observed: ObservedServices, fact: ServiceFact): ObservedServices {
  switch (fact.kind) {
    case 'started': {
      const { kind: _kind, atMs, ...of } = fact;
      const fresh: ObservedReplica = { ...of, state: 'starting', sinceMs: atMs, exits: [], restarts: 0, jitter: 0 };
      return { ...observed, replicas: [...observed.replicas, fresh] };
    }
    case 'restarted':
      return change(observed, fact.sequence, (one) => ({
        ...withoutProblem(one),
        state: 'starting',
        sinceMs: fact.atMs,
        restarts: one.restarts + 1,
      }));
    case 'ready':
      return becameReady(observed, fact.sequence, fact.atMs, fact.ran);
    case 'unready':
      return change(observed, fact.sequence, (one) =>
        one.state === 'ready' ? { ...one, state: 'unready', sinceMs: fact.atMs, problem: fact.problem } : one,
      );
    case 'drained':
      return change(observed, fact.sequence, (one) => ({ ...one, state: 'draining', sinceMs: fact.atMs }));
    case 'exited':
      return ended(observed, fact);
    case 'gone':
      return { ...observed, replicas: observed.replicas.filter(({ sequence }) => sequence !== fact.sequence) };
    case 'wanted':
      return { ...observed, wanted: { ...observed.wanted, [fact.key]: fact.replicas } };
    case 'trusted':
      return {
        ...observed,
        versions: observed.versions.filter(({ problem }) => problem === undefined || !isAboutTrust(problem)),
      };
    case 'desired':
      return forget(observed, fact.keys, fact.versions);
  }
}

function becameReady(
  observed: ObservedServices,
  sequence: number,
  atMs: number,
  ran: DesiredDeployment,
): ObservedServices {
  const replica = observed.replicas.find((one) => one.sequence === sequence);
  if (replica === undefined || !['starting', 'unready'].includes(replica.state)) return observed;
  const changed = change(observed, sequence, (one) => ({ ...withoutProblem(one), state: 'ready', sinceMs: atMs }));
  const key = keyOf(replica);
  const before = observed.kept[key];
  // What runs beside its successor is ready again at times; the successor, once it was, is what is kept.
  const kept = before === undefined || before.revision <= ran.revision ? { ...changed.kept, [key]: ran } : changed.kept;
  return { ...changed, kept, versions: putVersion(changed.versions, { ...ofWhat(replica), ...works }) };
}

const works = { wasReady: true, failedStarts: 0, failedAtMs: 0 };

function ended(observed: ObservedServices, fact: Extract<ServiceFact, { kind: 'exited' }>): ObservedServices {
  const { sequence, atMs, jitter, problem } = fact;
  const replica = observed.replicas.find((one) => one.sequence === sequence);
  if (replica === undefined || replica.state === 'draining') {
    return { ...observed, replicas: observed.replicas.filter((one) => one.sequence !== sequence) };
  }
  const changed = change(observed, sequence, (one) => ({
    ...one,
    ...{ state: 'down', sinceMs: atMs, jitter, problem },
    exits: [...one.exits, atMs].slice(-keptExits),
  }));
  const known = observed.versions.find((one) => isOf(one, replica));
  if (replica.state !== 'starting' || known?.wasReady === true) return changed;
  const failedStarts = (known?.failedStarts ?? 0) + 1;
  const failed = { ...ofWhat(replica), wasReady: false, failedStarts, failedAtMs: atMs, problem };
  return { ...changed, versions: putVersion(changed.versions, failed) };
}

function forget(
  observed: ObservedServices,
  keys: ReadonlySet<string>,
  versions: ReadonlySet<string>,
): ObservedServices {
  const isKnown = ([key]: [string, unknown]): boolean => keys.has(key);
  const kept = Object.fromEntries(Object.entries(observed.kept).filter(isKnown));
  return {
    ...observed,
    kept,
    wanted: Object.fromEntries(Object.entries(observed.wanted).filter(isKnown)),
    versions: observed.versions.filter((one) => {
      const key = keyOf(one);
      const keptOne = kept[key];
      return versions.has(`${key}/${one.version}`) || (keptOne !== undefined && versionOf(keptOne) === one.version);
    }),
  };
}

function change(
  observed: ObservedServices,
  sequence: number,
  by: (one: ObservedReplica) => ObservedReplica,
): ObservedServices {
  return { ...observed, replicas: observed.replicas.map((one) => (one.sequence === sequence ? by(one) : one)) };
}

function withoutProblem({ problem: _problem, ...one }: ObservedReplica): ObservedReplica {
  return one;
}

function ofWhat({ endpoint, deployment, version, revision }: ReplicaOf): ReplicaOf {
  return { endpoint, deployment, version, revision };
}

export function isOf(a: ReplicaOf, b: Omit<ReplicaOf, 'revision'>): boolean {
  return a.endpoint === b.endpoint && a.deployment === b.deployment && a.version === b.version;
}

function putVersion(versions: readonly ObservedVersion[], one: ObservedVersion): ObservedVersion[] {
  return [...versions.filter((other) => !isOf(other, one)), one];
}

/** Another try helps only when it is said anew who counts. */
export function isAboutTrust({ code }: Problem): boolean {
  return code.startsWith('signature.') || code.startsWith('trust.');
}
