/** `flotilla events`: live changes of the workspace, as they come. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { toInstant } from '#shared/kernel/clock.js';
import type { LiveEvent } from '#cloud/client/flotilla-client.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { printable } from '../output.js';
import { type Session, withSession } from '../session.js';

const reconnectMs = 1000;

export function eventsCommand(io: CliIo): Command {
  const command = new Command('events')
    .description('Follow live changes of the workspace until Ctrl-C; with --output json one JSON value a line.')
    .option('--type <type>', 'only this type, for example device.changed')
    .action(async (options: { readonly type?: string }) => {
      await withSession(io, command, (session) => followEvents(session, options.type));
    });
  return withExamples(command, 'flotilla events', 'flotilla events --type device.event --output json');
}

/** Ends without error on Ctrl-C; a lost connection is opened again, a refused one is not. */
async function followEvents({ io, client, out }: Session, type: string | undefined): Promise<void> {
  let reachedOnce = false;
  while (!io.signal.aborted) {
    try {
      const events = await client.events(io.signal);
      reachedOnce = true;
      for await (const event of events) {
        if (type !== undefined && event.type !== type) continue;
        const at = toInstant(io.clock.now());
        out.item({ at, ...event }, () => describeEvent(at, event));
      }
    } catch (error) {
      if (io.signal.aborted) return;
      const lost = error instanceof AppError && error.code === 'server.unreachable';
      if (!lost || !reachedOnce) throw error;
    }
    if (io.signal.aborted) return;
    out.note('the connection was lost; connecting again');
    await io.clock.sleep(reconnectMs, io.signal);
  }
}

function describeEvent(at: string, event: LiveEvent): string {
  return `${at}  ${printable(event.type)}  ${printable(event.subject)}  ${printable(JSON.stringify(event.data))}`;
}
