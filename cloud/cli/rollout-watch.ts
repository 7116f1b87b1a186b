/** Follows a rollout until it is over: a line whenever it stands otherwise. Ctrl-C leaves it running. */
import { AppError } from '#shared/kernel/errors.js';
import { routes } from '#cloud/client/routes.js';
import { watchChanges } from './device-watch.js';
import { progressLine } from './rollout-text.js';
import { waitInterruptibly } from './interruption.js';
import type { Session } from './session.js';

const lookEveryMs = 5000;
const endings = ['succeeded', 'failed', 'aborted', 'rolled-back', 'superseded'];

/** @throws AppError `rollout.failed` when it ends otherwise than it should */
export async function followRollout({ io, client, out }: Session, rollout: string): Promise<void> {
  const watch = watchChanges(
    client,
    io.clock,
    ({ type, subject }) => type.startsWith('rollout.') && subject === rollout,
  );
  let last = '';
  try {
    await waitInterruptibly(io, `the rollout goes on; flotilla rollout watch ${rollout}`, async () => {
      while (!io.signal.aborted) {
        const changed = watch.nextChange();
        const body = await client.call(routes.rolloutGet, { params: { rollout } });
        const line = progressLine(body);
        if (line !== last) out.item(body, () => line);
        last = line;
        if (body.state === 'succeeded') return;
        if (endings.includes(body.state)) {
          const why = `flotilla rollout explain ${rollout} says why`;
          throw new AppError('rollout.failed', `rollout ${rollout} is ${body.state}: ${why}`);
        }
        await changed(lookEveryMs, io.signal);
      }
    });
  } finally {
    await watch.close();
  }
}
