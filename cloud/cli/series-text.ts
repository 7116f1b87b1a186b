/** One metric over time for a person: a chart where there is one line, a table with a small one each where there are more. */
import type { SeriesBody } from '#cloud/http/schemas/telemetry.js';
import { formatBytes, formatFields, formatTable } from './output.js';
import { chart, sparkline } from './plot.js';

const chartRows = 8;

export function describeSeries(body: SeriesBody): string {
  const { metric, from, to, stepSeconds, series, leftOff } = body;
  const head = formatFields([
    ['metric', metric],
    ['span', `${from} to ${to}, ${stepText(stepSeconds)} a step`],
  ]);
  const [only] = series;
  if (only === undefined) return `${head}\nnothing was told of it in this span\n`;
  const label = (value: number): string => valueText(value, body.unit);
  if (series.length === 1) {
    const { least, mean, greatest, last } = figuresOf(only.values);
    const figures = [least, mean, greatest, last].map((value) => (value === null ? '-' : label(value)));
    const told = `${only.name}: least ${figures[0] ?? ''}, mean ${figures[1] ?? ''}, greatest ${figures[2] ?? ''}, last ${figures[3] ?? ''}`;
    return `${head}\n${chart(only.values, chartRows, label)}\n${told}; ${String(only.samples)} samples\n`;
  }
  const rows = series.map(({ name, samples, values }) => {
    const { least, mean, greatest, last } = figuresOf(values);
    const figures = [least, mean, greatest, last].map((value) => (value === null ? '-' : label(value)));
    return [name, String(samples), ...figures, sparkline(values)];
  });
  const more = leftOff > 0 ? `${String(leftOff)} more lines: narrow it down by --device or --module\n` : '';
  return `${head}\n${formatTable(['OF', 'SAMPLES', 'LEAST', 'MEAN', 'GREATEST', 'LAST', 'OVER TIME'], rows)}${more}`;
}

function figuresOf(values: readonly (number | null)[]) {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return { least: null, mean: null, greatest: null, last: null };
  return {
    least: Math.min(...known),
    mean: known.reduce((sum, value) => sum + value, 0) / known.length,
    greatest: Math.max(...known),
    last: known.at(-1) ?? null,
  };
}

export function valueText(value: number, unit: SeriesBody['unit']): string {
  switch (unit) {
    case 'share':
      return `${(value * 100).toFixed(value < 0.1 ? 2 : 1)} %`;
    case 'ms':
      return `${value.toFixed(value < 10 ? 2 : 1)} ms`;
    case 'bytes':
      return formatBytes(value);
    case 'celsius':
      return `${value.toFixed(1)} °C`;
    case 'count':
    case 'value':
      return String(Number(value.toPrecision(4)));
  }
}

function stepText(seconds: number): string {
  if (seconds % 3600 === 0) return `${String(seconds / 3600)}h`;
  return seconds % 60 === 0 ? `${String(seconds / 60)}m` : `${String(seconds)}s`;
}
