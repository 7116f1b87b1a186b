/**
 * Sends metrics of the fleet to an OpenTelemetry collector, over HTTP with protobuf. Counts are cumulative, so what a
 * collector that was away missed is in what it gets next.
 */
import { gzip } from 'node:zlib';
import { promisify } from 'node:util';
import type { Clock } from '#shared/kernel/clock.js';
import type { Logger } from '#shared/platform/logger.js';
import type { Counter } from '#cloud/http/metrics.js';
import type { FleetTotals } from '../fleet-totals.js';
import { encodeMetrics } from './otlp-metrics.js';

export interface OtlpExportOptions {
  /** Where the collector takes metrics: with its path, `/v1/metrics`. */
  readonly url: string;
  /** For example authorization. */
  readonly headers: Readonly<Record<string, string>>;
  readonly totals: FleetTotals;
  readonly version: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly exports: Counter;
}

/** Modules of devices in one request: some hundred kilobytes, before they are packed. */
const perRequest = 500;
const timeoutMs = 10_000;

export class OtlpExport {
  private failing = false;

  constructor(private readonly options: OtlpExportOptions) {}

  /** Never fails: the next one comes. */
  async run(): Promise<void> {
    const { totals, clock, version, exports, logger } = this.options;
    const nowMs = clock.now();
    const span = { sinceMs: totals.sinceMs, nowMs, version };
    const [modules, machines] = [totals.modules(), totals.machines(nowMs)];
    const parts = Math.ceil(Math.max(modules.length, machines.length) / perRequest);
    for (let part = 0; part < parts; part++) {
      const [from, to] = [part * perRequest, (part + 1) * perRequest];
      const failure = await this.send(encodeMetrics(modules.slice(from, to), machines.slice(from, to), span));
      exports.add({ outcome: failure === undefined ? 'taken' : 'failed' });
      // Once a failure, not every time.
      if (failure !== undefined && !this.failing)
        logger.warn({ reason: failure }, 'metrics did not reach the collector');
      if (failure === undefined && this.failing) logger.info('metrics reach the collector again');
      this.failing = failure !== undefined;
      if (failure !== undefined) return;
    }
  }

  /** @returns why it was not taken */
  private async send(message: Buffer): Promise<string | undefined> {
    const { url, headers } = this.options;
    try {
      const response = await fetch(url, {
        method: 'POST',
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs),
        headers: { ...headers, 'content-type': 'application/x-protobuf', 'content-encoding': 'gzip' },
        body: new Uint8Array(await promisify(gzip)(message)),
      });
      await response.body?.cancel();
      return response.ok ? undefined : `it answered with status ${String(response.status)}`;
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      return cause instanceof Error ? cause.message : 'it cannot be reached';
    }
  }
}
