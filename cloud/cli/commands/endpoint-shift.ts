/** `flotilla endpoint shift …`: traffic goes over to another deployment in steps, as long as its gates pass. */
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { routes } from '#cloud/client/routes.js';
import type { ShiftBody } from '#cloud/http/schemas/shifts.js';
import { parseCount, parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { type Session, withSession } from '../session.js';
import { describeShift, describeShifts } from '../shift-text.js';
import { followShift } from '../shift-watch.js';
import { shiftStartCommand } from './endpoint-shift-start.js';

export function shiftCommand(io: CliIo): Command {
  const group = new Command('shift').description(
    'Shifts: a deployment takes over the traffic in steps, and all goes back by itself when its gates fail.',
  );
  const made = [shiftStartCommand, listCommand, showCommand, watchCommand, pauseCommand, resumeCommand, abortCommand];
  for (const make of made) group.addCommand(make(io));
  return withExamples(
    group,
    'flotilla endpoint shift start fraud --to green --policy shift.yaml',
    'flotilla endpoint shift watch fraud',
    'flotilla endpoint shift abort fraud',
  );
}

function listCommand(io: CliIo): Command {
  const command = new Command('list')
    .description('List the shifts of an endpoint, newest first.')
    .argument('<endpoint>')
    .action(async (text: string) => {
      const endpoint = parseName(text, 'endpoint');
      await withSession(io, command, async ({ client, out }) => {
        const items = await client.list(routes.shiftList, { params: { endpoint } });
        out.result(items, () => describeShifts(items, endpoint, io.clock.now()));
      });
    });
  return withExamples(command, 'flotilla endpoint shift list fraud');
}

interface ShowOptions {
  readonly shift?: string;
  readonly history: string;
}

function showCommand(io: CliIo): Command {
  const command = new Command('show')
    .description('Show a shift: how it stands, what it waits for, what its gates say with the numbers, what happened.')
    .argument('<endpoint>')
    .option('--shift <number>', 'which; without it the newest')
    .option('--history <count>', 'so many of the last events', '20')
    .action(async (text: string, options: ShowOptions) => {
      const endpoint = parseName(text, 'endpoint');
      const count = parseCount(options.history, 9999);
      await withSession(io, command, async (session) => {
        const { client, out } = session;
        const shift =
          options.shift === undefined ? await newest(session, endpoint) : parseCount(options.shift, 2 ** 31);
        const params = { endpoint, shift: String(typeof shift === 'number' ? shift : shift.number) };
        const detail = await client.call(routes.shiftGet, { params });
        const history = await client.list(routes.shiftHistory, { params }, count);
        out.result({ ...detail, history }, () => describeShift(detail, { detail, history: [...history].reverse() }));
      });
    });
  return withExamples(
    command,
    'flotilla endpoint shift show fraud',
    'flotilla endpoint shift show fraud --shift 2 --output json',
  );
}

function watchCommand(io: CliIo): Command {
  const command = new Command('watch')
    .description(
      'Follow the newest shift until it is over, a line whenever it stands otherwise. Ctrl-C leaves it running.',
    )
    .argument('<endpoint>')
    .action(async (text: string) => {
      const endpoint = parseName(text, 'endpoint');
      await withSession(io, command, async (session) => followShift(session, await newest(session, endpoint)));
    });
  return withExamples(command, 'flotilla endpoint shift watch fraud');
}

const pauseCommand = (io: CliIo): Command =>
  orderCommand(io, 'pause', 'Leave the traffic as it is now, until it is resumed.');
const resumeCommand = (io: CliIo): Command =>
  orderCommand(io, 'resume', 'Go on: after a gate failed in spite of it, in this step.');
const abortCommand = (io: CliIo): Command =>
  orderCommand(io, 'abort', 'End a shift: traffic and mirror are at once as they were before it.');

function orderCommand(io: CliIo, order: 'pause' | 'resume' | 'abort', description: string): Command {
  const command = new Command(order)
    .description(description)
    .argument('<endpoint>')
    .action(async (text: string) => {
      const endpoint = parseName(text, 'endpoint');
      await withSession(io, command, async (session) => {
        const { number } = await newest(session, endpoint);
        const params = { endpoint, shift: String(number) };
        const after = await session.client.call(routes.shiftOrder, { params, body: { order } });
        session.out.result(after, () => describeShift(after));
      });
    });
  return withExamples(command, `flotilla endpoint shift ${order} fraud`);
}

/** Of one endpoint only the newest can be under way. */
async function newest({ client }: Session, endpoint: string): Promise<ShiftBody> {
  const { items } = await client.piece(routes.shiftList, { params: { endpoint } }, 1);
  const [found] = items;
  if (found !== undefined) return found;
  const help = `flotilla endpoint shift start ${endpoint} --to <deployment> begins one`;
  throw new AppError('shift.not-found', `${endpoint} has no shifts: ${help}`);
}
