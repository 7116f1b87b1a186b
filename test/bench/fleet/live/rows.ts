/** What the control plane's database says, read beside it and only read. */
import { join } from 'node:path';
import Database from 'libsql';

export interface RolloutRow {
  readonly device: string;
  readonly wave: number;
  readonly standing: string;
  readonly attempts: number;
  readonly assignedAt: number | null;
  readonly endedAt: number | null;
}

export interface FleetCounts {
  readonly devices: number;
  readonly online: number;
  readonly converged: number;
}

/** Opened for each question: the control plane is killed meanwhile. */
function ask<T>(dataDir: string, query: string, ...values: readonly unknown[]): T[] {
  const database = new Database(join(dataDir, 'control.db'), { readonly: true, timeout: 5_000 } as Database.Options);
  try {
    return database.prepare(query).all(...values) as T[];
  } finally {
    database.close();
  }
}

export function rolloutRows(dataDir: string, rollout: number): RolloutRow[] {
  return ask(
    dataDir,
    'select device, wave, standing, attempts, assignedAt, endedAt from rolloutDevices where rollout = ?',
    rollout,
  );
}

export function rolloutState(dataDir: string, rollout: number): string {
  return ask<{ state: string }>(dataDir, 'select state from rollouts where number = ?', rollout)[0]?.state ?? 'none';
}

export function askedCount(dataDir: string, rollout: number): number {
  const query = 'select count(*) as n from rolloutDevices where rollout = ? and generation is not null';
  return ask<{ n: number }>(dataDir, query, rollout)[0]?.n ?? 0;
}

/** Of each device how often the history says that it was asked. */
export function askedTimes(dataDir: string, rollout: number): Map<string, number> {
  const query = `select device, count(*) as n from rolloutHistory
    where rollout = ? and device is not null and text like 'asked for %' group by device`;
  return new Map(ask<{ device: string; n: number }>(dataDir, query, rollout).map(({ device, n }) => [device, n]));
}

export function fleetCounts(dataDir: string): FleetCounts {
  const query = `select count(*) as devices, coalesce(sum(online), 0) as online,
    coalesce(sum(convergedGeneration = desiredGeneration), 0) as converged from devices`;
  return ask<FleetCounts>(dataDir, query)[0] ?? { devices: 0, online: 0, converged: 0 };
}

/** Devices that said since this instant that they are here. */
export function presentSince(dataDir: string, instant: string): number {
  const query = 'select count(*) as n from devices where online = 1 and presenceAt >= ?';
  return ask<{ n: number }>(dataDir, query, instant)[0]?.n ?? 0;
}
