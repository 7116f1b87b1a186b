import { mkdir, rename } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { joinBatches } from '#agent/telemetry/batch-content.js';
import { Collector } from '#agent/telemetry/collector.js';
import { EventLog } from '#agent/telemetry/event-log.js';
import type { Spool } from '#agent/telemetry/spool.js';
import { systemClock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { addToSketch, decodeSketch, emptySketch, encodeSketch } from '#shared/protocol/sketch.js';
import type { HostModuleStats } from '#shared/scoring/host-protocol.js';
import { until } from '#test/support/agent/fake-cloud.js';
import { openSpool } from '#test/support/agent/open-spool.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const path = temporaryFolder();

/** What a host counted: one request for each latency, of which some failed. */
function stats(
  version: number,
  latencies: readonly number[],
  errors: Record<string, number> = {},
  name = 'digits',
): Omit<HostModuleStats, 'shadow'> {
  const sketch = emptySketch();
  for (const latency of latencies) addToSketch(sketch, latency);
  const failed = Object.values(errors).reduce((sum, count) => sum + count, 0);
  return {
    name,
    digest: `sha256:${String(version).repeat(64)}`,
    version,
    provider: 'cpu',
    requests: latencies.length + failed,
    errors,
    latencyMs: encodeSketch(sketch),
  };
}

async function open(name: string): Promise<{ spool: Spool; folder: string; away: string }> {
  const folder = path(name);
  await mkdir(folder);
  const spool = await openSpool({ folder, bootId: 1 });
  return { spool, folder, away: `${folder}-away` };
}

describe('what was counted while nothing could be written', () => {
  it('is spooled once when writing works again, joined by version', async () => {
    const { spool, folder, away } = await open('counts');
    let next: readonly HostModuleStats[] = [];
    const failures: unknown[] = [];
    const collector = new Collector(
      {
        clock: systemClock,
        spool,
        generation: () => 3,
        hostStats: async () => ({ modules: next, rssBytes: 0 }),
        system: async () => {
          throw new Error('not asked for');
        },
        onSpooled: () => undefined,
        onError: (error) => failures.push(error),
      },
      3_600_000,
    );
    // A folder that is not there fails every write, as a full disk does.
    await rename(folder, away);
    await collector.addLast([stats(1, [1, 2], { 'score.failed': 1 })]);
    await collector.addLast([stats(1, [3]), stats(2, [9], {}, 'other')]);
    await collector.addLast([stats(2, [4])]);
    expect(failures).toHaveLength(3);
    expect(failures.every((failure) => failure instanceof AppError)).toBe(true);
    expect(spool.pending(undefined, 10)).toEqual([]);

    await rename(away, folder);
    next = [];
    await collector.addLast([stats(2, [5])]);
    const batches = await Promise.all(spool.pending(undefined, 10).map((name) => spool.read(name)));
    expect(batches).toHaveLength(2);
    expect(batches).toMatchObject([
      {
        sequence: 1,
        modules: { digits: { version: 1, requests: 4, errors: { 'score.failed': 1 } }, other: { requests: 1 } },
      },
      { sequence: 2, modules: { digits: { version: 2, requests: 2 } } },
    ]);
    const [first] = batches as unknown as { modules: { digits: HostModuleStats } }[];
    const sketch = first && decodeSketch(first.modules.digits.latencyMs);
    expect(sketch).toMatchObject({ count: 3, sum: 6, min: 1, max: 3 });
  });

  it('is of as many batches as a host answers with versions of one module, however long nothing is written', async () => {
    const { spool, folder, away } = await open('versions');
    const failures: unknown[] = [];
    const collector = new Collector(
      {
        clock: systemClock,
        spool,
        generation: () => 3,
        hostStats: async () => ({ modules: [], rssBytes: 0 }),
        system: async () => {
          throw new Error('not asked for');
        },
        onSpooled: () => undefined,
        onError: (error) => failures.push(error),
      },
      3_600_000,
    );
    await rename(folder, away);
    for (let interval = 0; interval < 4; interval++) {
      await collector.addLast([stats(1, [1]), stats(2, [4]), stats(7, [9], {}, 'other')]);
    }
    expect(failures).toHaveLength(4);
    await rename(away, folder);
    await collector.addLast([stats(1, [1])]);
    const batches = await Promise.all(spool.pending(undefined, 10).map((name) => spool.read(name)));
    expect(batches).toMatchObject([
      { modules: { digits: { version: 1, requests: 5 }, other: { version: 7, requests: 4 } } },
      { modules: { digits: { version: 2, requests: 4 } } },
    ]);
    expect(batches).toHaveLength(2);
  });

  it('is not joined to a version that it does not belong to', () => {
    const batch = (version: number) => ({
      at: '2026-01-01T00:00:00.000Z',
      intervalMs: 1000,
      generation: version,
      modules: { digits: stats(version, [1]) },
    });
    expect(joinBatches(batch(1), batch(2))).toBeUndefined();
    expect(joinBatches(batch(1), batch(1))).toMatchObject({ intervalMs: 2000, modules: { digits: { requests: 2 } } });
  });
});

describe('events raised while nothing could be written', () => {
  it('are spooled in order when writing works again', async () => {
    const { spool, folder, away } = await open('events');
    let failed = 0;
    const log = new EventLog(
      { clock: systemClock, spool, onSpooled: () => undefined, onError: () => (failed += 1) },
      1,
      20,
    );
    await rename(folder, away);
    log.raise({ level: 'error', type: 'module.crashed', message: 'first' });
    await until('failed', () => failed > 1);
    log.raise({ level: 'warn', type: 'module.failed', message: 'second' });
    await rename(away, folder);
    await until('spooled', () => spool.size.batches > 0);
    await log.stop();
    const batches = await Promise.all(spool.pending(undefined, 10).map((name) => spool.read(name)));
    const events = batches.flatMap((batch) => (batch as unknown as { events: { message: string }[] }).events);
    expect(events.map(({ message }) => message)).toEqual(['first', 'second']);
  });
});
