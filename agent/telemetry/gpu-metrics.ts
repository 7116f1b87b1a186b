/**
 * Memory and load of the machine's GPUs, where a driver tells them: NVIDIA's through `nvidia-smi`, AMD's
 * through files of the kernel. Intel's drivers have no such figures without privileges. Costs two failed
 * look-ups where there is no GPU: `nvidia-smi` is started only where NVIDIA's driver is, and one that does
 * not answer is left alone for a while.
 */
import { execFile } from 'node:child_process';
import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Clock } from '#shared/kernel/clock.js';
import { type GpuMetrics, maxGpus } from '#shared/protocol/stream.js';

export interface GpuReaderOptions {
  readonly clock: Clock;
  /** The kernel's files: `/`; tests have others. */
  readonly root?: string;
  readonly nvidiaSmi?: string;
}

/** After a failure of `nvidia-smi`: a driver that was updated answers again after the next boot. */
const patienceMs = 10 * 60_000;
const smiTimeoutMs = 5_000;
const smiArguments = ['--query-gpu=name,utilization.gpu,memory.used,memory.total', '--format=csv,noheader,nounits'];
const amdVendor = '0x1002';

export class GpuReader {
  private readonly root: string;
  private readonly nvidiaSmi: string;
  private notBefore = Number.NEGATIVE_INFINITY;

  constructor(private readonly options: GpuReaderOptions) {
    this.root = options.root ?? '/';
    this.nvidiaSmi = options.nvidiaSmi ?? 'nvidia-smi';
  }

  /** Never fails: what cannot be read is absent. */
  async read(): Promise<GpuMetrics[]> {
    const [nvidia, amd] = await Promise.all([this.readNvidia(), this.readAmd()]);
    return [...nvidia, ...amd].slice(0, maxGpus);
  }

  private async readNvidia(): Promise<GpuMetrics[]> {
    const { clock } = this.options;
    if (clock.monotonic() < this.notBefore) return [];
    if (!(await isThere(join(this.root, 'proc/driver/nvidia/version')))) return [];
    try {
      const { stdout } = await promisify(execFile)(this.nvidiaSmi, smiArguments, {
        timeout: smiTimeoutMs,
        killSignal: 'SIGKILL',
        maxBuffer: 64 * 1024,
      });
      return parseNvidiaSmi(stdout);
    } catch {
      this.notBefore = clock.monotonic() + patienceMs;
      return [];
    }
  }

  private async readAmd(): Promise<GpuMetrics[]> {
    const drm = join(this.root, 'sys/class/drm');
    const cards = (await readdir(drm).catch(() => [])).filter((name) => /^card\d+$/.test(name)).sort();
    const read = await Promise.all(cards.map((card) => readAmdCard(join(drm, card, 'device'))));
    return read.filter((gpu) => gpu !== undefined);
  }
}

/** A line a GPU, mebibytes and percent; "[N/A]" and the like where the card does not tell. */
export function parseNvidiaSmi(text: string): GpuMetrics[] {
  return text.split('\n').flatMap((line) => {
    const parts = line.split(',').map((part) => part.trim());
    if (parts.length < 4) return [];
    const [busy, used, total] = parts.slice(-3).map(numberOf);
    const name = parts.slice(0, -3).join(', ');
    return [gpuOf(name, busy, scaled(used), scaled(total))];
  });
}

function scaled(mebibytes: number | undefined): number | undefined {
  return mebibytes === undefined ? undefined : mebibytes * 1024 * 1024;
}

async function readAmdCard(device: string): Promise<GpuMetrics | undefined> {
  const value = (name: string): Promise<string | undefined> =>
    readFile(join(device, name), 'utf8').then(
      (text) => text.trim(),
      () => undefined,
    );
  if ((await value('vendor')) !== amdVendor) return undefined;
  const [busy, used, total] = await Promise.all(
    ['gpu_busy_percent', 'mem_info_vram_used', 'mem_info_vram_total'].map(async (name) => numberOf(await value(name))),
  );
  const model = (await value('product_name')) ?? (await value('device'));
  return gpuOf(`AMD ${model ?? 'GPU'}`, busy, used, total);
}

function gpuOf(
  name: string,
  percent: number | undefined,
  used: number | undefined,
  total: number | undefined,
): GpuMetrics {
  return {
    name: name.slice(0, 128),
    ...(percent === undefined ? {} : { busy: Math.min(1, percent / 100) }),
    ...(used === undefined ? {} : { memoryUsedBytes: used }),
    ...(total === undefined ? {} : { memoryTotalBytes: total }),
  };
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
