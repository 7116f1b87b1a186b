/** Whether what a process holds grows, judged from samples taken at equal distances. Pure. */

export interface Sample {
  readonly pssBytes: number;
  readonly rssBytes: number;
  readonly threads: number;
  readonly descriptors: number;
}

export interface Growth {
  readonly what: string;
  readonly first: number;
  /** Along the line of least squares, from the first sample to the last. */
  readonly grown: number;
  readonly allowed: number;
  readonly ok: boolean;
}

const mib = 1024 ** 2;

export interface GrowthBounds {
  readonly memoryMib: number;
  readonly descriptors: number;
  readonly threads: number;
}

export const usualBounds: GrowthBounds = { memoryMib: 32, descriptors: 16, threads: 4 };

export function growthOf(samples: readonly Sample[], bounds: GrowthBounds): readonly Growth[] {
  return [
    growth(
      'Pss MiB',
      samples.map(({ pssBytes }) => pssBytes / mib),
      bounds.memoryMib,
    ),
    growth(
      'descriptors',
      samples.map(({ descriptors }) => descriptors),
      bounds.descriptors,
    ),
    growth(
      'threads',
      samples.map(({ threads }) => threads),
      bounds.threads,
    ),
  ];
}

function growth(what: string, values: readonly number[], allowed: number): Growth {
  const grown = slope(values) * Math.max(0, values.length - 1);
  return { what, first: values[0] ?? Number.NaN, grown, allowed, ok: grown <= allowed };
}

/** Of the line of least squares, per sample. */
export function slope(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  let above = 0;
  let below = 0;
  for (const [index, value] of values.entries()) {
    above += (index - middle) * (value - mean);
    below += (index - middle) ** 2;
  }
  return above / below;
}

export function growthRows(growths: readonly Growth[]): string[][] {
  return growths.map(({ what, first, grown, allowed, ok }) => [
    what,
    first.toFixed(0),
    `${grown >= 0 ? '+' : ''}${grown.toFixed(1)}`,
    `+${String(allowed)}`,
    ok ? 'ok' : 'GROWS',
  ]);
}

export const growthHeader = ['of the host', 'at first', 'grown', 'allowed', ''] as const;
