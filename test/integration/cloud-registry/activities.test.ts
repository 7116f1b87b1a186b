import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomUUID } from 'node:crypto';
import { systemClock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { createLogger } from '#shared/platform/logger.js';
import { ActivityRunner, type ActivityContext, type ActivityKind } from '#cloud/activities/activity-runner.js';
import { LiveEvents, type LiveEvent } from '#cloud/live/live-events.js';
import { ActivityRepository, type StoredActivity } from '#cloud/store/activity-repository.js';
import { openControlDatabase, type ControlStore } from '#cloud/store/control-database.js';
import { WorkspaceRepository } from '#cloud/store/workspace-repository.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
const logger = createLogger('test', { level: 'silent', pretty: false });
let db: ControlStore;
let repository: ActivityRepository;
let events: LiveEvent[];
beforeAll(async () => {
  db = await openControlDatabase(folder('control.db'));
  await new WorkspaceRepository(db).insert({ name: 'w', createdAt: '' });
  repository = new ActivityRepository(db);
});
afterAll(() => db.destroy());

function runnerOf(kinds: readonly ActivityKind[], concurrency = 2): ActivityRunner {
  const live = new LiveEvents(() => undefined);
  events = [];
  live.subscribe('w', (event) => events.push(event));
  return new ActivityRunner({ repository, kinds, live, clock: systemClock, newId: randomUUID, logger, concurrency });
}

const kindOf = (
  kind: string,
  run: (context: ActivityContext, input: unknown) => Promise<string | undefined>,
  idempotent = true,
): ActivityKind => ({ kind, idempotent, run: (input, context) => run(context, input) });

/** Ends when the signal aborts, as a step that looks at it does. */
const untilAborted = (context: ActivityContext): Promise<never> =>
  new Promise((_, reject) => {
    context.signal.addEventListener('abort', () => reject(context.signal.reason as Error), { once: true });
  });

async function find(id: string): Promise<StoredActivity> {
  const activity = await repository.find('w', id);
  if (activity === undefined) throw new Error(`no activity ${id}`);
  return activity;
}

async function running(id: string): Promise<void> {
  while ((await find(id)).state !== 'running') await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('an activity', () => {
  it('runs with its input, keeps its log in order and says what it made', async () => {
    const runner = runnerOf([
      kindOf('count', async (context, input) => {
        for (let i = 1; i <= (input as { to: number }).to; i++) await context.log(`line ${String(i)}`);
        return '/made';
      }),
    ]);
    const { id, state } = await runner.start('w', 'count', 'numbers', { to: 3 });
    expect(state).toBe('not-started');
    await runner.idle();
    expect(await find(id)).toMatchObject({ state: 'succeeded', resource: '/made', problemJson: null });
    expect((await repository.readLog(id, { limit: 10 })).items.map((line) => line.text)).toEqual([
      'line 1',
      'line 2',
      'line 3',
    ]);
    const states = events.map((event) => (event.data as { state: string }).state);
    expect([states[0], states.at(-1)]).toEqual(['not-started', 'succeeded']);
    expect(events.map((event) => (event.data as { line?: string }).line)).toContain('line 2');
  });

  it('that fails keeps the problem; a bug says internal and nothing of itself', async () => {
    const runner = runnerOf([
      kindOf('refuse', () => Promise.reject(new AppError('model.invalid', 'no good', { details: { a: 1 } }))),
      kindOf('bug', () => Promise.reject(new TypeError('secret detail'))),
    ]);
    const refused = await runner.start('w', 'refuse', 's', {});
    const bug = await runner.start('w', 'bug', 's', {});
    await runner.idle();
    expect(JSON.parse((await find(refused.id)).problemJson ?? '')).toEqual({
      code: 'model.invalid',
      message: 'no good',
      details: { a: 1 },
    });
    expect((await find(bug.id)).problemJson).toContain('internal');
    expect((await find(bug.id)).problemJson).not.toContain('secret');
  });

  it('of an unknown kind fails instead of waiting for ever', async () => {
    const runner = runnerOf([]);
    const { id } = await runner.start('w', 'unheard', 's', {});
    await runner.idle();
    expect((await find(id)).state).toBe('failed');
  });

  it('is cancelled while it waits and while it runs, and not after its end', async () => {
    const runner = runnerOf([kindOf('wait', untilAborted)], 1);
    const first = await runner.start('w', 'wait', 'a', {});
    await running(first.id);
    const second = await runner.start('w', 'wait', 'b', {});
    expect(await runner.cancel('w', second.id)).toMatchObject({ state: 'cancelled', startedAt: null });
    await runner.cancel('w', first.id);
    await runner.idle();
    expect(await find(first.id)).toMatchObject({ state: 'cancelled', cancelRequested: 1 });
    expect((await runner.cancel('w', first.id))?.state).toBe('cancelled');
    expect(await runner.cancel('w', 'nope')).toBeUndefined();
    expect(await runner.cancel('other', first.id)).toBeUndefined();
  });

  it('never runs beside more than the limit', async () => {
    let now = 0;
    let most = 0;
    const runner = runnerOf(
      [
        kindOf('busy', async () => {
          most = Math.max(most, ++now);
          await new Promise((resolve) => setTimeout(resolve, 5));
          now--;
          return undefined;
        }),
      ],
      3,
    );
    for (let i = 0; i < 10; i++) await runner.start('w', 'busy', String(i), {});
    await runner.idle();
    expect(most).toBe(3);
  });
});

describe('after a restart', () => {
  /** Leaves a row as a killed process does. */
  const leftRunning = async (kind: string, change: Partial<StoredActivity> = {}): Promise<string> => {
    const { id } = await repository.insert({
      id: randomUUID(),
      workspace: 'w',
      kind,
      subject: 's',
      input: { n: 1 },
      createdAt: '2026-01-01T00:00:00.000Z',
    });
    await db
      .updateTable('activities')
      .set({ state: 'running', startedAt: '2026-01-01T00:00:00.000Z', ...change })
      .where('id', '=', id)
      .execute();
    return id;
  };

  it('an idempotent one that was under way starts over', async () => {
    const id = await leftRunning('again');
    const runner = runnerOf([kindOf('again', () => Promise.resolve('/done'))]);
    await runner.resume();
    await runner.idle();
    expect(await find(id)).toMatchObject({ state: 'succeeded', resource: '/done' });
    expect((await repository.readLog(id, { limit: 10 })).items[0]?.text).toContain('restarted');
  });

  it('another one fails with the reason', async () => {
    const id = await leftRunning('once');
    const runner = runnerOf([kindOf('once', () => Promise.resolve('/done'), false)]);
    await runner.resume();
    expect(await find(id)).toMatchObject({ state: 'failed' });
    expect((await find(id)).problemJson).toContain('stopped while once of s ran: start it again');
  });

  it('one that had made its thing is not made again', async () => {
    const id = await leftRunning('again', { resource: '/made' });
    let runs = 0;
    const runner = runnerOf([kindOf('again', () => Promise.resolve(String(++runs)))]);
    await runner.resume();
    await runner.idle();
    expect(await find(id)).toMatchObject({ state: 'succeeded', resource: '/made' });
    expect(runs).toBe(0);
  });

  it('one whose cancellation was asked for is cancelled', async () => {
    const id = await leftRunning('again', { cancelRequested: 1 });
    await runnerOf([kindOf('again', () => Promise.resolve('/x'))]).resume();
    expect((await find(id)).state).toBe('cancelled');
  });

  it('one that a clean stop interrupted goes on', async () => {
    const first = runnerOf([kindOf('long', untilAborted)]);
    const { id } = await first.start('w', 'long', 's', {});
    await running(id);
    await first.stop();
    expect((await find(id)).state).toBe('running');
    const second = runnerOf([kindOf('long', () => Promise.resolve('/late'))]);
    await second.resume();
    await second.idle();
    expect(await find(id)).toMatchObject({ state: 'succeeded', resource: '/late' });
  });
});
