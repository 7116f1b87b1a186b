/** Follows a shift until it is over, a line whenever it stands otherwise. Ctrl-C leaves it running. */
import { AppError } from '#shared/kernel/errors.js';
import { routes } from '#cloud/client/routes.js';
import type { ShiftBody } from '#cloud/http/schemas/shifts.js';
import { watchChanges } from './device-watch.js';
import { waitInterruptibly } from './interruption.js';
import type { Session } from './session.js';
import { shiftLine } from './shift-text.js';

const lookEveryMs = 5000;

/** @throws AppError `shift.failed` when it ends otherwise than it should */
export async function followShift(session: Session, { endpoint, number }: ShiftBody): Promise<void> {
  const goesOn = `the shift goes on; flotilla endpoint shift watch ${endpoint}`;
  const last = await waitInterruptibly(session.io, goesOn, () => follow(session, endpoint, String(number)));
  if (last === undefined || last.state === 'succeeded') return;
  const why = `flotilla endpoint shift show ${endpoint} --shift ${String(number)} has the numbers`;
  throw new AppError('shift.failed', `shift ${String(number)} of ${endpoint} is ${last.state}: ${why}`);
}

/** @returns how it ended; undefined when the wait was interrupted */
async function follow({ io, client, out }: Session, endpoint: string, shift: string): Promise<ShiftBody | undefined> {
  const watch = watchChanges(client, io.clock, ({ type }) => type === 'shift.changed');
  let last = '';
  try {
    while (!io.signal.aborted) {
      const changed = watch.nextChange();
      const body = await client.call(routes.shiftGet, { params: { endpoint, shift } });
      const line = shiftLine(body);
      if (line !== last) out.item(body, () => line);
      last = line;
      if (body.endedAt !== undefined) return body;
      await changed(lookEveryMs, io.signal);
    }
    return undefined;
  } finally {
    await watch.close();
  }
}
