/** What people ask of commands to many devices: to begin one, and to cancel it. */
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { NewId } from '#shared/kernel/ids.js';
import type { CommandChannel } from '#cloud/fleet/command-channel.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import { matchingDevices } from '#cloud/fleet/device-search.js';
import { FleetRepository } from '#cloud/fleet/fleet-repository.js';
import { parseQuery } from '#cloud/fleet/query/parse-query.js';
import type { LiveEvents } from '#cloud/live/live-events.js';
import type { CommandJob, JobAddress, JobOperation } from './command-model.js';
import { CommandRepository } from './command-repository.js';

/** What is to be done, on which devices: all that a schedule keeps. */
export interface CommandOrder {
  readonly operation: JobOperation;
  readonly arguments: Readonly<Record<string, unknown>>;
  /** One of the two. */
  readonly fleet?: string | undefined;
  readonly where?: string | undefined;
  readonly concurrency: number;
  readonly timeoutSeconds: number;
  readonly deadlineSeconds: number;
}

export interface CommandOfficeOptions {
  readonly db: Database;
  readonly channel: Pick<CommandChannel, 'seal'>;
  readonly live: LiveEvents;
  readonly clock: Clock;
  readonly newId: NewId;
  /** Told after each change: commands are to be looked at. */
  readonly onChanged: () => void;
}

/** Of one workspace at one time. */
const maxUnderWay = 20;
/** The longest name that a device can have: what fits it fits all. */
const longestName = 'x'.repeat(63);

export class CommandOffice {
  constructor(private readonly options: CommandOfficeOptions) {}

  /** @throws AppError `request.invalid` for an empty fleet, `command.busy`, `fleet.not-found`, `query.invalid` */
  async start(workspace: string, order: CommandOrder, by: string): Promise<CommandJob> {
    this.check(workspace, order);
    const job = await this.options.db
      .transaction()
      .execute((transaction) => this.startWithin(transaction, workspace, order, { by }));
    this.changed(job);
    return job;
  }

  /** In the transaction of whoever decides that it begins; tell {@link changed} after it. @throws as {@link start} */
  async startWithin(
    transaction: Database,
    workspace: string,
    order: CommandOrder,
    { by, schedule }: { readonly by: string; readonly schedule?: string },
  ): Promise<CommandJob> {
    const { clock, newId } = this.options;
    const commands = new CommandRepository(transaction);
    const { fleet } = order;
    const where =
      fleet === undefined ? undefined : (await new FleetRepository(transaction).require(workspace, fleet)).where;
    const query = where ?? order.where ?? '';
    const rows = await matchingDevices(transaction, workspace, parseQuery(query))
      .select('devices.name')
      .orderBy('devices.name')
      .execute();
    const devices = rows.map(({ name }) => name);
    if (devices.length === 0) throw nobody(order);
    if ((await commands.listUnderWay(workspace)).length >= maxUnderWay) {
      throw new AppError(
        'command.busy',
        `${String(maxUnderWay)} commands are under way in workspace ${workspace}, and no more may be: wait for one, or flotilla command cancel`,
      );
    }
    await refuseRival(commands, workspace, order.operation, devices);
    const now = clock.now();
    const job: CommandJob = {
      ...{ workspace, number: await commands.nextNumber(workspace), operation: order.operation },
      ...{ arguments: order.arguments, fleet, query, concurrency: order.concurrency },
      ...{ timeoutMs: order.timeoutSeconds * 1000, deadlineAt: now + order.deadlineSeconds * 1000 },
      ...{ nonce: newId(), state: 'running', devices: devices.length, answerBytes: 0, schedule },
      ...{ createdAt: toInstant(now), createdBy: by },
    };
    await commands.insert(job, devices);
    return job;
  }

  /** Nothing new is sent; what was sent may still be answered. @throws AppError `command.not-found`, `command.ended` */
  async cancel(address: JobAddress): Promise<CommandJob> {
    const commands = new CommandRepository(this.options.db);
    const job = await commands.require(address);
    if (job.state !== 'cancelling' && !(await commands.move(address, 'running', 'cancelling'))) {
      throw new AppError('command.ended', `command ${String(address.number)} is over: there is nothing left to cancel`);
    }
    const after = await commands.require(address);
    this.changed(after);
    return after;
  }

  changed({ workspace, number, state }: CommandJob): void {
    const data = { command: number, state };
    this.options.live.publish({ workspace, type: 'command.changed', subject: String(number), data });
    this.options.onChanged();
  }

  /** That its arguments fit the operation, and all of it a message. @throws AppError `request.invalid`, `request.too-large` */
  check(workspace: string, { operation, arguments: args }: CommandOrder): void {
    const deadlineAt = this.options.clock.now();
    this.options.channel.seal({ workspace, device: longestName }, longestName, {
      operation,
      arguments: args,
      deadlineAt,
    });
  }
}

/** Two that start the same module of one device anew would each wonder about the other. */
async function refuseRival(
  commands: CommandRepository,
  workspace: string,
  operation: JobOperation,
  devices: readonly string[],
): Promise<void> {
  if (operation !== 'restart') return;
  const rival = await commands.rival(workspace, operation, devices);
  if (rival === undefined) return;
  const number = String(rival.number);
  throw new AppError(
    'command.busy',
    `command ${number} has yet to restart ${rival.device}: wait for it, or flotilla command cancel ${number}`,
    { details: { command: rival.number, device: rival.device } },
  );
}

function nobody({ fleet, where }: CommandOrder): AppError {
  return new AppError(
    'request.invalid',
    fleet === undefined
      ? `no device matches ${where ?? ''}: flotilla device list --where shows which ones do`
      : `fleet ${fleet} has no devices: flotilla fleet show ${fleet} says why`,
  );
}
