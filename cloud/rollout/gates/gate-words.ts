/** Numbers and verdicts of gates in words, for people. Pure. */
import type { GateVerdict } from './gate-model.js';

/** A number of a gate with its unit; `-` where there is none. */
export function gateNumber(value: number | null, unit: GateVerdict['unit']): string {
  if (value === null) return '-';
  switch (unit) {
    case 'ms':
      return `${significant(value)} ms`;
    case 'share':
      return `${significant(value * 100)}%`;
    case 'bytes':
      return `${significant(value / 1024 / 1024)} MiB`;
    case 'psi':
      return value.toFixed(3);
  }
}

/** One sentence, as a reason and a history have it. */
export function describeVerdict(one: GateVerdict): string {
  const { gate, measure, module, value, reference, bound, unit, samples, verdict, lack } = one;
  const what = `gate ${gate}: ${measure}${module === '' ? '' : ` of ${module}`}`;
  if (verdict === 'undecided') return `${what} lacks ${lack?.text ?? 'samples'}`;
  const than = bound === null ? '' : `, ${verdict === 'fail' ? 'more than' : 'at most'} ${gateNumber(bound, unit)}`;
  const before = reference === null ? '' : ` (${gateNumber(reference, unit)} to compare with)`;
  return `${what} is ${gateNumber(value, unit)}${than}${before}, of ${String(samples)}`;
}

function significant(value: number): string {
  return Number(value.toPrecision(3)).toString();
}
