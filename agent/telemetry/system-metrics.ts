/** CPU, memory, disk and temperature of the machine, through systeminformation, and its GPUs. */
import type { SystemMetrics } from '#shared/protocol/stream.js';
import type { GpuReader } from '#agent/telemetry/gpu-metrics.js';
import type { TemperatureReader } from '#agent/telemetry/temperature.js';

/** @param folder the disk that is reported is the one it lies on */
export async function readSystemMetrics(
  folder: string,
  hostsRssBytes: number,
  gpuReader: GpuReader,
  temperatures: TemperatureReader,
): Promise<SystemMetrics> {
  // When it is first asked for: nothing that answers requests is to wait until it is loaded.
  const { default: si } = await import('systeminformation');
  const [load, memory, disks, gpus, temperature] = await Promise.all([
    si.currentLoad(),
    si.mem(),
    si.fsSize(),
    gpuReader.read(),
    temperatures.read(),
  ]);
  const disk = disks
    .filter(({ mount }) => folder === mount || folder.startsWith(mount.endsWith('/') ? mount : `${mount}/`))
    .sort((a, b) => b.mount.length - a.mount.length)[0];
  return {
    cpu: Math.min(1, Math.max(0, load.currentLoad / 100)),
    memoryUsedBytes: memory.total - memory.available,
    memoryTotalBytes: memory.total,
    diskUsedBytes: disk?.used ?? 0,
    diskTotalBytes: disk?.size ?? 0,
    agentRssBytes: process.memoryUsage.rss(),
    hostsRssBytes,
    ...(temperature === undefined ? {} : { temperatureCelsius: temperature }),
    ...(gpus.length === 0 ? {} : { gpus }),
  };
}
