/** How the processes that serve change: the part of the reducer about hosts, scripts, switches and returns. */
import {
  entry,
  type Exit,
  type Observed,
  type ProbationObservation,
  type ProcessObservation,
} from '#agent/reconcile/observed.js';
import { type Moment, move, without } from '#agent/reconcile/observe-tracks.js';

export function exited(
  before: ProcessObservation,
  fact: { readonly clean: boolean; readonly reason: string },
  moment: Moment,
): ProcessObservation {
  if (before.state === 'stopped') return before;
  const exit: Exit = { atMs: moment.at, clean: fact.clean };
  // As many as any policy counts.
  return { state: 'down', exits: [...exitsOf(before), exit].slice(-1001), jitter: moment.random, reason: fact.reason };
}

export function exitsOf(process: ProcessObservation): readonly Exit[] {
  return process.state === 'absent' ? [] : process.exits;
}

/** What was left alone is tried again; a host that runs is replaced by its like. */
export function askRestart(observed: Observed, module: string): Observed {
  const { host, scripts } = observed.serving;
  if (host.state === 'running' && entry(scripts, module) === undefined) {
    return withServing(observed, { restartDue: true });
  }
  return forgiveScript(forgiveHost(observed), module);
}

export function forgiveHost(observed: Observed): Observed {
  if (observed.serving.host.state !== 'stopped') return observed;
  return withServing(observed, { host: { state: 'absent' } });
}

function forgiveScript(observed: Observed, module: string): Observed {
  if (entry(observed.serving.scripts, module)?.state !== 'stopped') return observed;
  return changeScript(observed, module, () => ({ state: 'absent' }));
}

export function loseServed(observed: Observed, module: string, moment: Moment): Observed {
  const key = entry(observed.serving.set, module);
  if (key === undefined) return observed;
  const state = withServing(observed, {
    set: without(observed.serving.set, module),
    scripts: without(observed.serving.scripts, module),
  });
  return move(state, { track: module, key }, 'lost', moment);
}

/** A process that ends by itself while its version is on probation speaks against it. */
export function crashedOnProbation(observed: Observed, module: string | undefined, reason: string): Observed {
  const { probation } = observed;
  if (probation === undefined || probation.crash !== undefined) return observed;
  if (module !== undefined && entry(probation.changed, module) === undefined) return observed;
  return { ...observed, probation: { ...probation, crash: { module, reason } } };
}

export function switchOver(
  observed: Observed,
  scripts: readonly string[],
  watched: readonly string[],
  moment: Moment,
): Observed {
  const { candidate, ...rest } = observed;
  if (candidate === undefined) return observed;
  const fallback = observed.serving.set;
  const changed = Object.entries(candidate.set).filter(([name, key]) => entry(fallback, name) !== key);
  const probation: ProbationObservation | undefined =
    watched.length === 0 ? undefined : { since: moment.at, changed: Object.fromEntries(changed), watched, fallback };
  const state: Observed = {
    ...rest,
    serving: {
      set: candidate.set,
      host: { state: 'running', exits: [] },
      restartDue: false,
      scripts: mapScripts(scripts, observed, (before, module) =>
        before !== undefined && entry(fallback, module) === candidate.set[module]
          ? before
          : { state: 'running', exits: [] },
      ),
    },
    // A module that was replaced is no longer busy, and its successor has not said that it is.
    deferrals: Object.fromEntries(
      Object.entries(rest.deferrals).filter(([name]) => entry(fallback, name) === entry(candidate.set, name)),
    ),
    ...(probation === undefined ? {} : { probation }),
    retiring: true,
  };
  const event = probation === undefined ? 'activated' : 'probationStarted';
  const placed = Object.entries(candidate.set).reduce<Observed>(
    (next, [track, key]) =>
      entry(next.tracks, track)?.state === 'active'
        ? next
        : move(next, { track, key }, entry(fallback, track) === key ? 'activated' : event, moment),
    state,
  );
  return setReplacedAside(placed, moment);
}

/** A document that came in the middle of the switch may want what was replaced by it: that is to be proved anew. */
function setReplacedAside(observed: Observed, moment: Moment): Observed {
  return Object.entries(observed.tracks).reduce<Observed>(
    (next, [track, { key, state }]) =>
      state === 'active' && entry(observed.serving.set, track) !== key
        ? move(next, { track, key }, 'setAside', moment)
        : next,
    observed,
  );
}

/** The set before answers again; whatever was on probation and was not refused is a candidate as before. */
export function returned(observed: Observed, warm: boolean, scripts: readonly string[], moment: Moment): Observed {
  const { probation, ...rest } = observed;
  if (probation === undefined) return observed;
  const running: ProcessObservation = { state: 'running', exits: [] };
  const state: Observed = {
    ...rest,
    serving: {
      set: probation.fallback,
      host: warm ? running : { state: 'absent' },
      restartDue: false,
      scripts: mapScripts(scripts, observed, (before, module) => {
        if (!warm) return { state: 'absent' };
        return before !== undefined && entry(probation.changed, module) === undefined ? before : running;
      }),
    },
    retiring: false,
  };
  return Object.entries(probation.changed).reduce<Observed>(
    (next, [track, key]) => move(next, { track, key }, 'setAside', moment),
    state,
  );
}

/** What was on probation has passed, or there was none. */
export function committed(observed: Observed, generation: number, set: Observed['serving']['set'], moment: Moment) {
  const { probation, ...rest } = observed;
  const state: Observed = { ...rest, committed: { generation, set } };
  return Object.entries(probation?.changed ?? {}).reduce<Observed>(
    (next, [track, key]) => move(next, { track, key }, 'activated', moment),
    state,
  );
}

export function withServing(observed: Observed, change: Partial<Observed['serving']>): Observed {
  return { ...observed, serving: { ...observed.serving, ...change } };
}

export function changeScript(
  observed: Observed,
  module: string,
  change: (before: ProcessObservation) => ProcessObservation,
): Observed {
  const before = entry(observed.serving.scripts, module);
  if (before === undefined) return observed;
  return withServing(observed, { scripts: { ...observed.serving.scripts, [module]: change(before) } });
}

export function mapScripts(
  modules: readonly string[],
  observed: Observed,
  state: (before: ProcessObservation | undefined, module: string) => ProcessObservation,
): Record<string, ProcessObservation> {
  return Object.fromEntries(modules.map((module) => [module, state(entry(observed.serving.scripts, module), module)]));
}
