/**
 * Everything the device can be told to do, as one map from kind to arguments. The union of actions
 * and the table of executors derive from it: a new kind does not compile without its executor.
 * Actions are plain data and idempotent: doing one twice, or late, does no harm.
 */
import type { Problem } from '#shared/kernel/errors.js';
import type { ImageReference } from '#shared/protocol/desired.js';
import type { ServingSet, VersionKey } from '#agent/reconcile/observed.js';

export interface ActionArguments {
  /** Download what is missing, verify and unpack. Runs beside the reconciler. */
  readonly startFetch: { readonly track: string; readonly key: VersionKey; readonly image: ImageReference };
  /** Stop a download that nothing asks for any more. What has come stays, for a later one. */
  readonly cancelFetch: { readonly track: string };
  /** Start a host with what was serving last: at start, and after a crash. */
  readonly startServing: { readonly set: ServingSet };
  readonly startScript: { readonly module: string };
  /** Leave a process that ends again and again alone. */
  readonly giveUp: { readonly process: 'host' | { readonly script: string }; readonly reason: string };
  /** Start a second host with the next set, beside the one that answers. */
  readonly prepareSet: { readonly set: ServingSet };
  readonly discardCandidate: {
    /** window: it is proved, and loaded anew when its maintenance window opens. */
    readonly because: 'superseded' | 'timeout' | 'window';
    /** Modules to blame, each of which is tried again later. */
    readonly failed: readonly string[];
    readonly problem?: Problem;
  };
  /** Run a module's golden vectors in the candidate host. */
  readonly prove: { readonly module: string; readonly key: VersionKey };
  /**
   * The candidate host takes the port. With modules to watch, the old one stops accepting and stays loaded;
   * without, it stops accepting only in dropRetired.
   */
  readonly switchSet: { readonly set: ServingSet; readonly watched: readonly string[] };
  /** Ask the hosts what was done on probation. */
  readonly sampleProbation: Readonly<Record<never, never>>;
  /** The set before the probation answers again. */
  readonly returnSet: {
    readonly set: ServingSet;
    readonly because: 'superseded' | 'failed';
    /** Modules that are refused for this generation. */
    readonly failed: readonly string[];
    readonly problem?: Problem;
  };
  readonly commitSet: { readonly generation: number; readonly set: ServingSet };
  /** Let the replaced host finish and end. */
  readonly dropRetired: Readonly<Record<never, never>>;
  /** Start a version in processes of its own, prove it, and let it get nothing yet. Begun again, it is started anew. */
  readonly startShadow: { readonly module: string; readonly key: VersionKey };
  /** From now on it gets copies by the rule of the desired document. */
  readonly mirrorShadow: { readonly module: string; readonly key: VersionKey };
  readonly stopShadow: { readonly module: string };
  /** It is not tried again in this generation. */
  readonly refuseShadow: { readonly module: string; readonly key: VersionKey; readonly problem: Problem };
  readonly collectGarbage: Readonly<Record<never, never>>;
}

export type ActionKind = keyof ActionArguments;

export type Action = { [K in ActionKind]: { readonly kind: K } & ActionArguments[K] }[ActionKind];

export type Executors = {
  readonly [K in ActionKind]: (args: ActionArguments[K]) => Promise<void>;
};

/** Calls the executor of an action; the table above makes the pair fit. */
export async function execute(action: Action, executors: Executors): Promise<void> {
  const run = executors[action.kind] as (args: Action) => Promise<void>;
  await run(action);
}
