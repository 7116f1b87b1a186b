/** Whether a module that gives the right answers also gives them within its own bounds. Pure. */
import type { Problem } from '#shared/kernel/errors.js';
import type { ModuleManifest } from '#shared/package/module-manifest.js';

export interface MeasuredProof {
  readonly slowestMs: number | undefined;
  /** Of all processes of the module. */
  readonly memoryBytes: number;
}

const megabyte = 1024 * 1024;

/** A miss may be the machine's doing in this moment, so both are worth another try. */
export function missedBound(
  { name, golden }: Pick<ModuleManifest, 'name' | 'golden'>,
  { slowestMs, memoryBytes }: MeasuredProof,
): Problem | undefined {
  const { maxLatencyMs, maxMemoryMegabytes } = golden ?? {};
  if (maxLatencyMs !== undefined && slowestMs !== undefined && slowestMs > maxLatencyMs) {
    return {
      code: 'golden.too-slow',
      message: `the slowest golden vector of module "${name}" took ${slowestMs.toFixed(1)} ms on this device; its manifest allows ${String(maxLatencyMs)} ms`,
      details: { goldenMs: rounded(slowestMs), maxLatencyMs },
    };
  }
  if (maxMemoryMegabytes !== undefined && memoryBytes > maxMemoryMegabytes * megabyte) {
    return {
      code: 'golden.too-large',
      message: `module "${name}" takes ${(memoryBytes / megabyte).toFixed(0)} MiB on this device; its manifest allows ${String(maxMemoryMegabytes)} MiB`,
      details: { goldenMemoryBytes: memoryBytes, maxMemoryMegabytes },
    };
  }
  return undefined;
}

export function proofNumbers(vectors: number, { slowestMs, memoryBytes }: MeasuredProof): Record<string, number> {
  return {
    goldenVectors: vectors,
    goldenMemoryBytes: memoryBytes,
    ...(slowestMs === undefined ? {} : { goldenMs: rounded(slowestMs) }),
  };
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
