/** Where a cost is at another size: along the power law that fits best; one that fell is taken to stay. Pure. */
export function extrapolate(points: readonly (readonly [number, number])[], size: number): number {
  const logs = points.map(([devices, ms]) => [Math.log(devices), Math.log(Math.max(ms, 1e-6))] as const);
  const meanX = logs.reduce((sum, [x]) => sum + x, 0) / logs.length;
  const meanY = logs.reduce((sum, [, y]) => sum + y, 0) / logs.length;
  const spread = logs.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const law = spread === 0 ? 0 : logs.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / spread;
  const [lastX = 0, lastY = 0] = logs.at(-1) ?? [];
  return Math.exp(lastY + Math.max(0, law) * (Math.log(size) - lastX));
}
