/** What quality gates say, as a table with the numbers. Pure. */
import type { RolloutGates } from '#cloud/http/schemas/rollouts.js';
import { gateNumber } from '#cloud/rollout/gates/gate-words.js';
import { formatTable } from './output.js';

export interface GateRow extends Omit<RolloutGates['items'][number], 'wave' | 'at'> {
  /** Of which part of the whole it is told. */
  readonly at: string;
}

/** @returns empty where there are no gates */
export function gateTable(
  heads: { readonly part: string; readonly sources: string },
  rows: readonly GateRow[],
): string {
  if (rows.length === 0) return '';
  return formatTable(
    [heads.part, 'GATE', 'MEASURE', 'MODULE', 'VALUE', 'REFERENCE', 'AT MOST', 'SAMPLES', heads.sources, 'VERDICT'],
    rows.map((one) => [
      ...[one.at, one.gate, one.measure, one.module === '' ? '-' : one.module],
      ...[one.value, one.reference, one.bound].map((number) => gateNumber(number, one.unit)),
      String(one.samples) + (one.referenceSamples === undefined ? '' : ` / ${String(one.referenceSamples)}`),
      `${String(one.told)}/${String(one.devices)}`,
      `${one.verdict}${one.accepted ? ' (accepted)' : ''}${one.lack === undefined ? '' : `: ${one.lack.text}`}`,
    ]),
  );
}
