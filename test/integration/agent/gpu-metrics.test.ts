import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { systemClock } from '#shared/kernel/clock.js';
import { gpuMetricsSchema } from '#shared/protocol/stream.js';
import { GpuReader, parseNvidiaSmi } from '#agent/telemetry/gpu-metrics.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

const mebibyte = 1024 * 1024;

describe('the GPUs of a machine', () => {
  const folder = temporaryFolder();
  let machines = 0;
  const machine = async (files: Readonly<Record<string, string>>): Promise<string> => {
    machines += 1;
    const root = folder(`machine-${String(machines)}`);
    for (const [path, text] of Object.entries(files)) {
      await mkdir(`${root}/${path.slice(0, path.lastIndexOf('/'))}`, { recursive: true });
      await writeFile(`${root}/${path}`, text);
    }
    return root;
  };
  /** Counts its starts, and prints or fails. */
  const smi = async (root: string, script: string): Promise<string> => {
    await mkdir(root, { recursive: true });
    await writeFile(`${root}/nvidia-smi`, `#!/bin/sh\necho started >> ${root}/starts\n${script}\n`);
    await chmod(`${root}/nvidia-smi`, 0o755);
    return `${root}/nvidia-smi`;
  };
  const starts = async (root: string): Promise<number> =>
    (await readFile(`${root}/starts`, 'utf8').catch(() => '')).split('\n').length - 1;
  const nvidia = { 'proc/driver/nvidia/version': 'NVRM version: x' };

  it('of NVIDIA are as nvidia-smi tells, what it does not tell is absent', () => {
    const text = 'NVIDIA Card 9000, 37, 1024, 24576\nNVIDIA, with a comma, [N/A], [Not Supported], [N/A]\n\n';
    const gpus = parseNvidiaSmi(text);
    expect(gpus).toEqual([
      { name: 'NVIDIA Card 9000', busy: 0.37, memoryUsedBytes: 1024 * mebibyte, memoryTotalBytes: 24_576 * mebibyte },
      { name: 'NVIDIA, with a comma' },
    ]);
    for (const gpu of gpus) expect(gpuMetricsSchema.parse(gpu)).toEqual(gpu);
  });

  it('that are none start no program', async () => {
    const root = await machine({ 'sys/class/drm/version': 'drm' });
    const reader = new GpuReader({ clock: systemClock, root, nvidiaSmi: await smi(root, 'echo X, 1, 1, 1') });
    expect(await reader.read()).toEqual([]);
    expect(await starts(root)).toBe(0);
  });

  it('of NVIDIA are asked for each time', async () => {
    const root = await machine(nvidia);
    const reader = new GpuReader({ clock: systemClock, root, nvidiaSmi: await smi(root, 'echo X, 50, 1, 2') });
    await reader.read();
    expect(await reader.read()).toEqual([
      { name: 'X', busy: 0.5, memoryUsedBytes: mebibyte, memoryTotalBytes: 2 * mebibyte },
    ]);
    expect(await starts(root)).toBe(2);
  });

  it.each(['exit 9', 'kill -9 $$'])('whose nvidia-smi fails (%s) are left alone for ten minutes', async (script) => {
    const root = await machine(nvidia);
    let now = 0;
    const clock = { ...systemClock, monotonic: () => now };
    const reader = new GpuReader({ clock, root, nvidiaSmi: await smi(root, script) });
    expect(await reader.read()).toEqual([]);
    now = 599_999;
    expect(await reader.read()).toEqual([]);
    expect(await starts(root)).toBe(1);
    now = 600_001;
    await reader.read();
    expect(await starts(root)).toBe(2);
  });

  it('of NVIDIA without nvidia-smi are no failure', async () => {
    const root = await machine(nvidia);
    expect(await new GpuReader({ clock: systemClock, root, nvidiaSmi: `${root}/none` }).read()).toEqual([]);
  });

  it("of AMD are read from the kernel's files, and other vendors' are passed over", async () => {
    const card = 'sys/class/drm/card1/device';
    const root = await machine({
      [`${card}/vendor`]: '0x1002\n',
      [`${card}/device`]: '0x744c\n',
      [`${card}/gpu_busy_percent`]: '12\n',
      [`${card}/mem_info_vram_used`]: '1048576\n',
      [`${card}/mem_info_vram_total`]: '4194304\n',
      'sys/class/drm/card0/device/vendor': '0x8086\n',
      'sys/class/drm/card1-DP-1/status': 'connected',
    });
    expect(await new GpuReader({ clock: systemClock, root }).read()).toEqual([
      { name: 'AMD 0x744c', busy: 0.12, memoryUsedBytes: mebibyte, memoryTotalBytes: 4 * mebibyte },
    ]);
  });
});
