/** The part of the plan that keeps what serves serving: first start, restarts, and when to let be. */
import { decideRestart } from '#shared/supervisor/restart-policy.js';
import type { RestartPolicy } from '#shared/protocol/desired.js';
import type { Action } from '#agent/reconcile/action.js';
import { entry, type ProcessObservation } from '#agent/reconcile/observed.js';
import { downBefore } from '#agent/reconcile/start-after.js';
import type { PlanInput, Waiting } from '#agent/reconcile/plan.js';

export function planProcesses(input: PlanInput): { actions: Action[]; waiting: Waiting[] } {
  const { observed, policy } = input;
  const actions: Action[] = [];
  const waiting: Waiting[] = [];
  const start: Action = { kind: 'startServing', set: observed.serving.set };
  const host = judge(observed.serving.host, 'scoring host', hostPolicy(input), input, policy.startTimeoutMs);
  if (host.kind === 'start') actions.push(start);
  else if (host.kind === 'stop') actions.push({ kind: 'giveUp', process: 'host', reason: host.reason });
  else if (host.kind === 'wait') waiting.push(host.waiting);

  for (const [module, process] of Object.entries(observed.serving.scripts).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const restart = input.desired === undefined ? undefined : entry(input.desired.modules, module)?.policy;
    const step = judge(process, `script of ${module}`, restart ?? policy.hostRestart, input, policy.startTimeoutMs);
    // A script without its host has no models to reach: the host comes first.
    if (step.kind === 'start' && observed.serving.host.state === 'running') {
      const before = downBefore(input.desired, observed, module, policy.startAfterMs);
      if (before === undefined || before.deadline <= input.now) actions.push({ kind: 'startScript', module });
      else waiting.push({ kind: 'startAfter', module, ...before });
    }
    if (step.kind === 'stop') actions.push({ kind: 'giveUp', process: { script: module }, reason: step.reason });
    else if (step.kind === 'wait') waiting.push(step.waiting);
  }
  return { actions, waiting };
}

type Step =
  | { readonly kind: 'start' }
  | { readonly kind: 'stop'; readonly reason: string }
  | { readonly kind: 'wait'; readonly waiting: Waiting }
  | { readonly kind: 'nothing' };

function judge(
  process: ProcessObservation,
  name: string,
  policy: RestartPolicy,
  input: PlanInput,
  startTimeoutMs: number,
): Step {
  switch (process.state) {
    case 'absent':
      return { kind: 'start' };
    case 'running':
      return { kind: 'nothing' };
    case 'starting': {
      const deadline = process.since + startTimeoutMs;
      // Past its time it is started again; the executor ends the one that hangs.
      if (input.now >= deadline) return { kind: 'start' };
      return { kind: 'wait', waiting: { kind: 'starting', process: name, deadline } };
    }
    case 'stopped':
      return { kind: 'wait', waiting: { kind: 'stopped', process: name, reason: process.reason } };
    case 'down': {
      const decision = decideRestart({ policy, exits: process.exits, nowMs: input.now, random: process.jitter });
      if (decision.kind === 'stop') return { kind: 'stop', reason: decision.reason };
      if (input.now >= decision.atMs) return { kind: 'start' };
      const { reason } = process;
      return { kind: 'wait', waiting: { kind: 'restart', process: name, deadline: decision.atMs, reason } };
    }
  }
}

/** The scoring host is shared: it is restarted as willingly as the most willing of its modules asks. */
function hostPolicy({ desired, observed, policy }: PlanInput): RestartPolicy {
  const policies = Object.keys(observed.serving.set)
    .map((name) => (desired === undefined ? undefined : entry(desired.modules, name)?.policy))
    .filter((one) => one !== undefined);
  const [first, ...rest] = policies;
  if (first === undefined) return policy.hostRestart;
  const willingness: readonly RestartPolicy['restart'][] = ['never', 'on-failure', 'always'];
  return rest.reduce(
    (most, one) => ({
      restart: willingness.indexOf(one.restart) > willingness.indexOf(most.restart) ? one.restart : most.restart,
      maxRestarts: Math.max(most.maxRestarts, one.maxRestarts),
      windowSeconds: Math.min(most.windowSeconds, one.windowSeconds),
    }),
    first,
  );
}
