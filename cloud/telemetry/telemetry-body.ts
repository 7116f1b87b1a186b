/** What one device or deployment measured over a span, as the API tells of it. */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import type { TelemetryBody } from '#cloud/http/schemas/telemetry.js';
import type { TelemetryPort, TelemetryQuestion } from './telemetry-port.js';

export type AskedTelemetry = Pick<TelemetryQuestion, 'workspace' | 'device'> & {
  readonly sinceSeconds: number;
  readonly module?: string | undefined;
};

export async function askTelemetry(
  telemetry: Pick<TelemetryPort, 'telemetry'>,
  clock: Clock,
  { workspace, device, module, sinceSeconds }: AskedTelemetry,
): Promise<TelemetryBody> {
  const toMs = clock.now();
  const fromMs = toMs - sinceSeconds * 1000;
  const found = await telemetry.telemetry({ workspace, device, fromMs, ...(module === undefined ? {} : { module }) });
  return {
    device,
    from: toInstant(fromMs),
    to: toInstant(toMs),
    batches: found.batches,
    ...(found.lastAtMs === undefined ? {} : { lastAt: toInstant(found.lastAtMs) }),
    dropped: found.dropped,
    gaps: found.gaps.map(({ receivedAtMs, ...gap }) => ({ ...gap, receivedAt: toInstant(receivedAtMs) })),
    modules: [...found.modules],
    ...(found.system ? { system: found.system } : {}),
  };
}
