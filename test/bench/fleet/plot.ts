/** A small picture of costs over sizes of fleets: both scales logarithmic, a line a cost. */
export interface Line {
  readonly name: string;
  /** Devices, milliseconds. */
  readonly points: readonly (readonly [number, number])[];
}

const [width, height, margin] = [720, 420, 56];
const lineHeight = 13;
const colours = ['#1b6ca8', '#c0392b', '#27845b', '#8e44ad', '#b9770e', '#34495e'];

export function plotSvg(title: string, lines: readonly Line[]): string {
  const all = lines.flatMap(({ points }) => points);
  const [fromX, toX] = bounds(all.map(([devices]) => devices));
  const [fromY, toY] = bounds(all.map(([, ms]) => ms));
  const x = (devices: number): number => margin + scale(devices, fromX, toX) * (width - 3.6 * margin);
  const y = (ms: number): number => height - margin - scale(ms, fromY, toY) * (height - 2 * margin);
  const labels = apart(lines.map(({ points }) => y(points.at(-1)?.[1] ?? fromY)));
  const drawn = lines.map(({ name, points }, index) => {
    const colour = colours[index % colours.length] ?? '#000';
    const path = points.map(([devices, ms]) => `${x(devices).toFixed(1)},${y(ms).toFixed(1)}`).join(' ');
    const [lastX] = points.at(-1) ?? [fromX];
    return [
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
      `<text x="${(x(lastX) + 6).toFixed(1)}" y="${((labels[index] ?? 0) + 4).toFixed(1)}" fill="${colour}">${name}</text>`,
    ].join('');
  });
  const ticksX = powers(fromX, toX).map(
    (value) =>
      `<text x="${x(value).toFixed(1)}" y="${String(height - margin + 18)}" text-anchor="middle">${value.toLocaleString('en-US')}</text>`,
  );
  const ticksY = powers(fromY, toY).map(
    (value) =>
      `<text x="${String(margin - 8)}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${String(value)}</text><line x1="${String(margin)}" x2="${String(width - 2.6 * margin)}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}" stroke="#ddd"/>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${String(width)} ${String(height)}" font-family="sans-serif" font-size="12">
<title>${title}</title>
<rect width="100%" height="100%" fill="#fff"/><text x="${String(margin)}" y="24" font-size="14">${title}</text>
${[...ticksY, ...ticksX, ...drawn].join('\n')}
</svg>
`;
}

/** Down where they would cover each other: the names of lines that end near each other. */
function apart(heights: readonly number[]): readonly number[] {
  const moved = [...heights];
  let free = 0;
  for (const index of [...heights.keys()].sort((a, b) => (heights[a] ?? 0) - (heights[b] ?? 0))) {
    moved[index] = Math.max(free, heights[index] ?? 0);
    free = (moved[index] ?? 0) + lineHeight;
  }
  return moved;
}

function bounds(values: readonly number[]): readonly [number, number] {
  const positive = values.filter((value) => value > 0);
  return [10 ** Math.floor(Math.log10(Math.min(...positive))), 10 ** Math.ceil(Math.log10(Math.max(...positive)))];
}

function scale(value: number, from: number, to: number): number {
  return from === to ? 0 : Math.log10(value / from) / Math.log10(to / from);
}

function powers(from: number, to: number): number[] {
  const found: number[] = [];
  for (let power = from; power <= to * 1.001; power *= 10) found.push(Number(power.toPrecision(1)));
  return found;
}
