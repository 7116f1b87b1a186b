/** Whether two answers to one request agree, by a rule. Pure. */
import type { OutputValues, Value } from './answer-values.js';
import type { ShadowOutcome } from './shadow-counts.js';
import type { Comparison, OutputRule } from '#shared/protocol/comparison.js';

export function compareAnswers(
  live: readonly OutputValues[],
  shadow: readonly OutputValues[],
  comparison: Comparison,
): ShadowOutcome {
  const rules = ruleFor(comparison, live);
  let agreed = rules !== undefined;
  let largest: number | undefined;
  for (const output of live) {
    const rule = rules?.(output.name) ?? ({ kind: 'ignore' } as const);
    const other = shadow.find(({ name }) => name === output.name);
    const difference = other && output.floating && other.floating ? largestDifference(output, other) : undefined;
    if (difference !== undefined && rule.kind !== 'ignore') largest = Math.max(largest ?? 0, difference);
    const verdict = other === undefined ? rule.kind === 'ignore' : agrees(output, other, rule);
    if (verdict === undefined) return { kind: 'uncompared' };
    agreed &&= verdict;
  }
  return { kind: 'compared', agreed, largestDifference: largest };
}

/** Undefined where the rule names no output that is there: then nothing agrees. */
function ruleFor(
  comparison: Comparison,
  outputs: readonly OutputValues[],
): ((output: string) => OutputRule) | undefined {
  switch (comparison.kind) {
    case 'tolerance':
      return () => comparison;
    case 'custom': {
      const rules = new Map(Object.entries(comparison.outputs));
      return (output) => rules.get(output) ?? comparison.others;
    }
    case 'top-1': {
      const floats = outputs.filter(({ floating }) => floating);
      const wanted =
        comparison.output === undefined
          ? floats.length === 1
            ? floats[0]
            : undefined
          : outputs.find(({ name }) => name === comparison.output);
      if (wanted === undefined) return undefined;
      return (output) => ({ kind: output === wanted.name ? 'top-1' : 'ignore' });
    }
  }
}

/** Undefined where too little of the output was read to tell. */
function agrees(live: OutputValues, shadow: OutputValues, rule: OutputRule): boolean | undefined {
  if (rule.kind === 'ignore') return true;
  const sameForm =
    live.shape.join() === shadow.shape.join() &&
    live.values.length === shadow.values.length &&
    live.floating === shadow.floating;
  if (!sameForm) return false;
  switch (rule.kind) {
    case 'tolerance':
      return live.floating
        ? every(live, shadow, (a, b) => within(Number(a), Number(b), rule))
        : every(live, shadow, sameValue);
    case 'top-1':
      return sameTop(live, shadow);
    case 'cosine':
      return cosine(live.values, shadow.values) >= rule.atLeast;
  }
}

function every(a: OutputValues, b: OutputValues, holds: (a: Value, b: Value) => boolean): boolean {
  for (let index = 0; index < a.values.length; index++) {
    if (!holds(a.values[index] ?? null, b.values[index] ?? null)) return false;
  }
  return true;
}

function within(a: number, b: number, { absolute, relative }: { absolute: number; relative: number }): boolean {
  // Equal infinities have no difference that could be measured, and neither has NaN in both.
  return Object.is(a, b) || a === b || Math.abs(a - b) <= absolute + relative * Math.abs(a);
}

/** An INT64 of one version may be an INT32 of the other. */
function sameValue(a: Value, b: Value): boolean {
  return a === b || (typeof a !== typeof b && isNumeric(a) && isNumeric(b) && Number(a) === Number(b));
}

function isNumeric(value: Value): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}

function sameTop(live: OutputValues, shadow: OutputValues): boolean | undefined {
  const width = live.shape.at(-1) ?? 1;
  const rows = width === 0 ? 0 : Math.floor(live.values.length / width);
  if (rows === 0) return live.values.length === 0 ? true : undefined;
  for (let row = 0; row < rows; row++) {
    if (top(live.values, row * width, width) !== top(shadow.values, row * width, width)) return false;
  }
  return true;
}

function top(values: ArrayLike<Value>, start: number, width: number): number {
  let best = 0;
  for (let index = 1; index < width; index++) {
    if (Number(values[start + index]) > Number(values[start + best])) best = index;
  }
  return best;
}

/** 1 for two that are both all zero. */
function cosine(a: ArrayLike<Value>, b: ArrayLike<Value>): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let index = 0; index < a.length; index++) {
    const x = Number(a[index]);
    const y = Number(b[index]);
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  if (aa === 0 && bb === 0) return 1;
  return dot / Math.sqrt(aa * bb);
}

function largestDifference(a: OutputValues, b: OutputValues): number | undefined {
  if (a.values.length !== b.values.length) return undefined;
  let largest: number | undefined;
  for (let index = 0; index < a.values.length; index++) {
    const difference = Math.abs(Number(a.values[index]) - Number(b.values[index]));
    if (Number.isFinite(difference) && difference > (largest ?? -1)) largest = difference;
  }
  return largest;
}
