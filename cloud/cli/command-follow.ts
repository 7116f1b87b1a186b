/** Waits for a command to many devices, says how far it is, and shows what came of it. Ctrl-C leaves it under way. */
import { AppError } from '#shared/kernel/errors.js';
import { routes } from '#cloud/client/routes.js';
import type { CommandDeviceBody, CommandJobBody } from '#cloud/http/schemas/commands.js';
import { describeResults, progressOf, standingsText } from './command-text.js';
import { watchChanges } from './device-watch.js';
import { waitInterruptibly } from './interruption.js';
import type { Session } from './session.js';

const lookEveryMs = 2000;
/** Answers come in bursts. */
const atMostEveryMs = 200;

/** @throws AppError `command.failed` where a device did not do it */
export async function followCommand(session: Session, started: CommandJobBody): Promise<void> {
  const { io } = session;
  const number = String(started.number);
  const goesOn = `the command goes on; flotilla command show ${number}, or flotilla command cancel ${number}`;
  const ended = await waitInterruptibly(io, goesOn, () => untilEnded(session, started));
  await showResults(session, ended);
  judge(ended);
}

async function untilEnded({ io, client, progress }: Session, started: CommandJobBody): Promise<CommandJobBody> {
  const command = String(started.number);
  const watch = watchChanges(
    client,
    io.clock,
    ({ type, subject }) => type === 'command.changed' && subject === command,
  );
  try {
    for (let job = started; ; ) {
      progress.update(progressOf(job), String(Math.floor((10 * endedOf(job)) / job.devices)));
      if (job.endedAt !== undefined || io.signal.aborted) return job;
      const changed = watch.nextChange();
      await io.clock.sleep(atMostEveryMs, io.signal);
      job = await client.call(routes.commandJobGet, { params: { command } });
      if (job.endedAt === undefined) await changed(lookEveryMs, io.signal);
    }
  } finally {
    progress.clear();
    await watch.close();
  }
}

function endedOf({ devices, standings: { waiting = 0, sent = 0 } }: CommandJobBody): number {
  return devices - waiting - sent;
}

interface Shown {
  /** Those of a large fleet that did it too. */
  readonly whole?: boolean;
  /** Before them, for a person. */
  readonly head?: string;
}

export async function showResults({ client, out }: Session, job: CommandJobBody, shown: Shown = {}): Promise<void> {
  const { whole = false, head = '' } = shown;
  const params = { command: String(job.number) };
  const results: readonly CommandDeviceBody[] = await client.list(routes.commandJobDevices, { params });
  out.result({ ...job, results }, () => `${head}${describeResults(job, results, whole)}`);
}

function judge({ number, devices, standings }: CommandJobBody): void {
  const { done = 0, ...others } = standings;
  if (done === devices) return;
  throw new AppError(
    'command.failed',
    `${String(devices - done)} of ${String(devices)} devices did not do it (${standingsText(others)}): ` +
      `flotilla command show ${String(number)} says why`,
  );
}
