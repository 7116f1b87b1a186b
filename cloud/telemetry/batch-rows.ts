/** Batches as rows of the telemetry database. */
import type { Kysely } from 'kysely';
import { type Cell, insertRows } from '#cloud/store/insert-rows.js';
import type { TelemetryDatabase } from '#cloud/store/telemetry-tables.js';
import type { Content } from './batch-content.js';
import { detailOf } from './module-detail.js';
import type { CountedBatch, RowNumbers } from './open-sums.js';
import { gaugesOf } from './system-gauges.js';
import type { ReceivedBatch } from './telemetry-port.js';

type Row = readonly Cell[];

/** In the order of their columns. */
export type BatchRows = Readonly<Record<'modules' | 'systems' | 'events' | 'gaps', Row[]>>;

const head = ['workspace', 'device', 'receivedAt', 'at', 'bootId', 'sequence'];
const intoModules = {
  table: 'moduleMetrics',
  columns: [
    ...[...head, 'module', 'version', 'digest', 'provider'],
    ...['requests', 'errorsJson', 'latencyJson', 'detailJson'],
  ],
};
const intoSystems = { table: 'systemMetrics', columns: [...head, 'systemJson'] };
const intoEvents = {
  table: 'deviceEvents',
  columns: [...head, 'position', 'level', 'type', 'module', 'message', 'detailsJson'],
};
const intoGaps = {
  table: 'streamGaps',
  columns: [...['workspace', 'device', 'kind', 'bootId', 'fromSequence'], ...['upToSequence', 'reason', 'receivedAt']],
};

export const noRows = (): BatchRows => ({ modules: [], systems: [], events: [], gaps: [] });

/** Adds those of a batch. @returns what is to be summed up of it; undefined where that is nothing */
export function rowsOf(received: ReceivedBatch, { kind, batch }: Content, rows: BatchRows): CountedBatch | undefined {
  const { workspace, device, receivedAt } = received;
  const { at, bootId, sequence } = batch;
  const names = [workspace, device, receivedAt, at, bootId, sequence];
  if (kind === 'events') {
    for (const [position, { at: happenedAt, level, type, module = null, message, details }] of batch.events.entries()) {
      const what = [position, level, type, module, message, details ? JSON.stringify(details) : null];
      rows.events.push([workspace, device, receivedAt, happenedAt, bootId, sequence, ...what]);
    }
    return undefined;
  }
  const modules = Object.entries(batch.modules).map(([module, metrics]) => {
    const { version, digest, provider, requests, errors, latencyMs } = metrics;
    const detail = detailOf(metrics);
    const texts = [JSON.stringify(errors), JSON.stringify(latencyMs), detail ? JSON.stringify(detail) : null];
    rows.modules.push([...names, module, version, digest, provider ?? null, requests, ...texts]);
    const counts = { requests, errors, latency: latencyMs, detail: detail ?? {} };
    return { module, version, digest, provider: provider ?? '', ...counts };
  });
  const { system } = batch;
  if (!system) return { workspace, device, receivedAt, modules };
  const json = JSON.stringify(system);
  rows.systems.push([...names, json]);
  return { workspace, device, receivedAt, modules, system: { json, gauges: gaugesOf(system) } };
}

/** @returns numbers of their first and last rows */
export async function storeRows(
  db: Kysely<TelemetryDatabase>,
  { modules, systems, events, gaps }: BatchRows,
): Promise<{ readonly first: RowNumbers; readonly last: RowNumbers }> {
  const last = {
    modules: await insertRows(db, intoModules, modules),
    systems: await insertRows(db, intoSystems, systems),
  };
  await insertRows(db, intoEvents, events);
  await insertRows(db, intoGaps, gaps);
  const firstOf = (end: number | undefined, rows: readonly Row[]): number | undefined =>
    end === undefined ? undefined : end - rows.length + 1;
  return { first: { modules: firstOf(last.modules, modules), systems: firstOf(last.systems, systems) }, last };
}
