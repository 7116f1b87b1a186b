/** Where a cost is at another size: along the power law that fits what was measured best. Pure. */
export function extrapolate(points: readonly (readonly [number, number])[], size: number): number {
  const logs = points.map(([devices, ms]) => [Math.log(devices), Math.log(Math.max(ms, 1e-6))] as const);
  const meanX = logs.reduce((sum, [x]) => sum + x, 0) / logs.length;
  const meanY = logs.reduce((sum, [, y]) => sum + y, 0) / logs.length;
  const spread = logs.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const slope = spread === 0 ? 0 : logs.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / spread;
  return Math.exp(meanY + slope * (Math.log(size) - meanX));
}
