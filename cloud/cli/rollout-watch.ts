/**
 * Follows a rollout until it is over: a screen that lives on a terminal, elsewhere a line whenever it stands otherwise.
 * Ctrl-C leaves it running.
 */
import type { Clock } from '#shared/kernel/clock.js';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { routes } from '#cloud/client/routes.js';
import type { RolloutBody, RolloutGates, RolloutWaits } from '#cloud/http/schemas/rollouts.js';
import { type Watch, watchChanges } from './device-watch.js';
import { waitInterruptibly } from './interruption.js';
import { describeRollout, progressLine } from './rollout-text.js';
import { renderRollout, type WatchedRollout } from './screen/rollout-screen.js';
import { type Terminal, TerminalScreen } from './screen/terminal-screen.js';
import type { Session } from './session.js';

const lookEveryMs = 5000;
/** Events come in bursts: the screen is read anew at most so often, and its clock goes on so often. */
const paintEveryMs = 1000;
/** What devices wait for, and what gates say, is worked out anew for each who asks. */
const judgedEveryMs = 5000;
const shownEvents = 200;
const endings = ['succeeded', 'failed', 'aborted', 'rolled-back', 'superseded'];

/** @throws AppError `rollout.failed` when it ends otherwise than it should */
export async function followRollout(session: Session, rollout: string): Promise<void> {
  const { io, out } = session;
  const last = await waitInterruptibly(io, `the rollout goes on; flotilla rollout watch ${rollout}`, () =>
    io.terminal !== undefined && out.format === 'text'
      ? followOnScreen(session, rollout, io.terminal)
      : followInLines(session, rollout),
  );
  if (last === undefined || last.state === 'succeeded') return;
  const why = `flotilla rollout explain ${rollout} says why`;
  throw new AppError('rollout.failed', `rollout ${rollout} is ${last.state}: ${why}`);
}

/** @returns how it ended; undefined when the wait was interrupted */
async function followInLines({ io, client, out }: Session, rollout: string): Promise<RolloutBody | undefined> {
  const watch = watchRollout(client, io.clock, rollout);
  let last = '';
  try {
    while (!io.signal.aborted) {
      const changed = watch.nextChange();
      const body = await client.call(routes.rolloutGet, { params: { rollout } });
      const line = progressLine(body);
      if (line !== last) out.item(body, () => line);
      last = line;
      if (endings.includes(body.state)) return body;
      await changed(lookEveryMs, io.signal);
    }
    return undefined;
  } finally {
    await watch.close();
  }
}

async function followOnScreen(session: Session, rollout: string, terminal: Terminal): Promise<RolloutBody | undefined> {
  const { io, client, out } = session;
  const watch = watchRollout(client, io.clock, rollout);
  const look = lookAt(session, rollout);
  let changed = watch.nextChange();
  let watched = await look().catch(async (error: unknown) => {
    await watch.close();
    throw error;
  });
  let screen: TerminalScreen | undefined;
  try {
    while (!io.signal.aborted && !endings.includes(watched.rollout.state)) {
      screen ??= new TerminalScreen(terminal, (size) => renderRollout(watched, size, terminal.colors));
      screen.paint();
      // Events come in bursts, and the clock on the screen goes on between them.
      await io.clock.sleep(paintEveryMs, io.signal);
      for (let waited = 0; waited < lookEveryMs && !(await changed(paintEveryMs, io.signal)); waited += paintEveryMs) {
        watched = { ...watched, now: io.clock.now() };
        screen.paint();
      }
      changed = watch.nextChange();
      watched = await look().catch((error: unknown) => stale(watched, error, io.signal));
    }
  } finally {
    screen?.close();
    await watch.close();
  }
  // What was seen last stays where the shell goes on.
  out.result(watched.rollout, () => describeRollout(watched.rollout));
  return io.signal.aborted ? undefined : watched.rollout;
}

/** A control plane that is away comes back: what there is to see stays, with the reason. */
function stale(watched: WatchedRollout, error: unknown, { aborted }: AbortSignal): WatchedRollout {
  if (aborted) return watched;
  const passes = error instanceof AppError && (error.code === 'server.unreachable' || error.code === 'rate.limited');
  if (!passes) throw error;
  return { ...watched, trouble: `not up to date: ${messageOf(error)}` };
}

function watchRollout(client: Session['client'], clock: Clock, rollout: string): Watch {
  return watchChanges(client, clock, ({ type, subject }) => type.startsWith('rollout.') && subject === rollout);
}

function lookAt({ io, client }: Session, rollout: string): () => Promise<WatchedRollout> {
  let waits: RolloutWaits['counts'] = {};
  let gates: RolloutGates['items'] = [];
  let judgedAt = Number.NEGATIVE_INFINITY;
  return async () => {
    const body = await client.call(routes.rolloutGet, { params: { rollout } });
    const history = await client.list(routes.rolloutHistory, { params: { rollout } }, shownEvents);
    if (body.endedAt !== undefined) waits = {};
    else if (io.clock.monotonic() - judgedAt >= judgedEveryMs) {
      waits = (await client.call(routes.rolloutWaits, { params: { rollout } })).counts;
      gates = (await client.call(routes.rolloutGates, { params: { rollout } })).items;
      judgedAt = io.clock.monotonic();
    }
    return { rollout: body, history, waits, gates, now: io.clock.now() };
  };
}
