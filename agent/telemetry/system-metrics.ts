/** CPU, memory and disk of the machine, through systeminformation, and its GPUs. */
import type { SystemMetrics } from '#shared/protocol/stream.js';
import type { GpuReader } from '#agent/telemetry/gpu-metrics.js';

/** @param folder the disk that is reported is the one it lies on */
export async function readSystemMetrics(
  folder: string,
  hostsRssBytes: number,
  gpuReader: GpuReader,
): Promise<SystemMetrics> {
  // When it is first asked for: nothing that answers requests is to wait until it is loaded.
  const { default: si } = await import('systeminformation');
  const [load, memory, disks, gpus] = await Promise.all([si.currentLoad(), si.mem(), si.fsSize(), gpuReader.read()]);
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
    ...(gpus.length === 0 ? {} : { gpus }),
  };
}
