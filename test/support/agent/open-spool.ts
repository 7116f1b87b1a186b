import { onTestFinished } from 'vitest';
import { emptyBatch } from '#agent/telemetry/batch-content.js';
import { Spool, type SpoolOptions } from '#agent/telemetry/spool.js';

type Given = Pick<SpoolOptions, 'folder' | 'bootId'> & Partial<SpoolOptions>;

/** A spool of telemetry with room for all, on an age clock that stands still, but for what the test says. */
export function spoolOptions(given: Given): SpoolOptions {
  const kind = given.kind ?? 'telemetry';
  return {
    kind,
    maxBytes: 1_000_000,
    lived: () => 0,
    emptyBatch: () => emptyBatch(kind, '2026-01-01T00:00:00.000Z'),
    onDropped: () => undefined,
    ...given,
  };
}

/** Opened within a test, and closed after it. */
export async function openSpool(given: Given): Promise<Spool> {
  const spool = await Spool.open(spoolOptions(given));
  onTestFinished(() => spool.close());
  return spool;
}
