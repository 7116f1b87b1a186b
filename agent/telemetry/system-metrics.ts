/** CPU and memory of the machine, through systeminformation, the disk of a folder, temperature and GPUs. */
import { statfs } from 'node:fs/promises';
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
  const [load, memory, disk, gpus, temperature] = await Promise.all([
    si.currentLoad(),
    si.mem(),
    // Not `si.fsSize()`: it starts three processes, each time, which is most of what an idle agent costs.
    statfs(folder),
    gpuReader.read(),
    temperatures.read(),
  ]);
  return {
    cpu: Math.min(1, Math.max(0, load.currentLoad / 100)),
    memoryUsedBytes: memory.total - memory.available,
    memoryTotalBytes: memory.total,
    diskUsedBytes: (disk.blocks - disk.bfree) * disk.bsize,
    diskTotalBytes: disk.blocks * disk.bsize,
    agentRssBytes: process.memoryUsage.rss(),
    hostsRssBytes,
    ...(temperature === undefined ? {} : { temperatureCelsius: temperature }),
    ...(gpus.length === 0 ? {} : { gpus }),
  };
}
