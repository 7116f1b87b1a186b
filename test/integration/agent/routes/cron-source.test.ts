import { expect, it } from 'vitest';
import { systemClock } from '#shared/kernel/clock.js';
import { instantSchema } from '#shared/protocol/primitives.js';
import { BoundedQueue } from '#agent/routes/bounded-queue.js';
import type { RouteItem } from '#agent/routes/payload.js';
import { openCronSource } from '#agent/routes/sources/cron-source.js';

it('a timer brings the time at each time of its expression, until it is stopped', async () => {
  const queue = new BoundedQueue<RouteItem>({ size: 10, maxBytes: 10_000, policy: 'drop-oldest' }, () => undefined);
  let entered = 0;
  const ports = {
    queue,
    onEntered: () => {
      entered += 1;
    },
    onProblem: (problem: string | undefined) => expect(problem).toBeUndefined(),
  };
  const source = openCronSource({ cron: '* * * * * *', timeZone: 'Asia/Kolkata' }, systemClock, ports);
  const items = [await queue.take(AbortSignal.timeout(30_000)), await queue.take(AbortSignal.timeout(30_000))];
  await source.stop();
  const times = await Promise.all(
    items.map(async (item) => (JSON.parse(String(await item?.load())) as { at: string }).at),
  );
  expect(times.map((at) => instantSchema.safeParse(at).success)).toEqual([true, true]);
  expect(Date.parse(times[1] ?? '')).toBeGreaterThan(Date.parse(times[0] ?? ''));
  expect(entered).toBeGreaterThanOrEqual(2);
});
