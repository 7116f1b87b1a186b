/** Both sides' verdicts held against each other, and against the differences that are known. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repository } from '#test/support/scoring-harness.js';
import { datatypeOf, type NodeCase, type Verdict } from './cases.js';

/** Why a test that onnxruntime-node passes does not pass through the host. */
export interface KnownDifference {
  readonly name: string;
  readonly reason: string;
}

export interface Comparison {
  readonly both: readonly string[];
  readonly bareFails: readonly Verdict[];
  /** Passed by onnxruntime-node, not through the host, and known. */
  readonly known: readonly Verdict[];
  /** The same, and not known: a defect. */
  readonly defects: readonly Verdict[];
  /** Known differences that are none any more. */
  readonly outdated: readonly string[];
}

export async function knownDifferences(): Promise<readonly KnownDifference[]> {
  const file = join(repository, 'test/conformance/onnx-node/known-differences.json');
  return JSON.parse(await readFile(file, 'utf8')) as KnownDifference[];
}

export function compare(
  bare: ReadonlyMap<string, Verdict>,
  host: ReadonlyMap<string, Verdict>,
  known: readonly KnownDifference[],
): Comparison {
  const passes = (verdict: Verdict | undefined): boolean => verdict !== undefined && verdict.failure === undefined;
  const names = [...bare.keys()].filter((name) => passes(bare.get(name)));
  const lost = names.filter((name) => !passes(host.get(name)));
  const verdictOf = (name: string): Verdict => host.get(name) ?? { name, failure: 'not run' };
  const isKnown = (name: string): boolean => known.some((one) => one.name === name);
  return {
    both: names.filter((name) => passes(host.get(name))),
    bareFails: [...bare.values()].filter((verdict) => verdict.failure !== undefined),
    known: lost.filter(isKnown).map(verdictOf),
    defects: lost.filter((name) => !isKnown(name)).map(verdictOf),
    outdated: known.map(({ name }) => name).filter((name) => passes(host.get(name))),
  };
}

/**
 * The same `count` tests every time, so chosen that each element type and each operator has its turn before
 * any comes twice.
 */
export function sample(cases: readonly NodeCase[], count: number): NodeCase[] {
  const chosen = new Set<NodeCase>();
  const kinds = new Map<string, NodeCase[]>();
  for (const test of cases) {
    const types = [...test.inputs, ...test.outputs].map((value) => datatypeOf(value) ?? value.kind);
    for (const kind of new Set([...types, ...test.operators])) kinds.set(kind, [...(kinds.get(kind) ?? []), test]);
  }
  const rarestFirst = [...kinds.values()].sort((a, b) => a.length - b.length);
  for (let turn = 0; chosen.size < Math.min(count, cases.length); turn++) {
    // A stride through each kind, so that variants of one operator do not crowd out the others.
    for (const list of rarestFirst) {
      const test = list[(turn * 7) % list.length];
      if (test && chosen.size < count) chosen.add(test);
    }
    if (turn > cases.length) break;
  }
  return [...chosen];
}
