/** Whether somebody else changed what a shift is about. Pure. */
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { Present, Shift, ShiftReason, Weights } from './shift-model.js';

/** Undefined: all is as the shift left it. */
export function overtakenBy({ target, others, set }: Shift, present: Present): ShiftReason | undefined {
  if (present === undefined) return reason('the endpoint was deleted');
  for (const { deployment, revision } of [target, ...others]) {
    const found = present.deployments.find(({ name }) => name === deployment);
    if (found === undefined) return reason(`${deployment} was deleted`);
    if (found.revision !== revision) return reason(`${deployment} was updated to revision ${String(found.revision)}`);
  }
  const { weights } = present;
  return sameWeights(weights, set) ? undefined : reason(`the traffic was set to ${describeWeights(weights)}`);
}

export function describeWeights({ traffic, mirror }: Weights): string {
  const parts = Object.entries(traffic)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, percent]) => `${name}=${String(percent)}`);
  const copies = mirror === undefined ? [] : [`mirror ${mirror.deployment}=${String(mirror.percent)}`];
  return [...(parts.length === 0 ? ['none'] : parts), ...copies].join(' ');
}

function sameWeights(one: Weights, other: Weights): boolean {
  return canonicalJson(one) === canonicalJson(other);
}

function reason(text: string): ShiftReason {
  return { code: 'overtaken', text: `${text} meanwhile: what was set by hand stands` };
}
