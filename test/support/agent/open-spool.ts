import { onTestFinished } from 'vitest';
import { emptyBatch } from '#agent/telemetry/batch-content.js';
import { Spool, type SpoolOptions } from '#agent/telemetry/spool.js';

/** A spool of telemetry with room for all, on an age clock that stands still, but for what the test says. */
export async function openSpool(
  options: Pick<SpoolOptions, 'folder' | 'bootId'> & Partial<SpoolOptions>,
): Promise<Spool> {
  const kind = options.kind ?? 'telemetry';
  const spool = await Spool.open({
    kind,
    maxBytes: 1_000_000,
    lived: () => 0,
    emptyBatch: () => emptyBatch(kind, '2026-01-01T00:00:00.000Z'),
    onDropped: () => undefined,
    ...options,
  });
  onTestFinished(() => spool.close());
  return spool;
}
