/** Commands to many devices in SQL. A standing only moves forward: each update names the one it comes from. */
import type { Selectable } from 'kysely';
import { AppError } from '#shared/kernel/errors.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { CommandJobDeviceTable, CommandJobTable } from '#cloud/store/command-tables.js';
import { decodeCursor, encodeCursor, newestFirst, type Page, type PageRequest } from '#cloud/store/page.js';
import type { CommandJob, JobAddress, JobOperation, JobState, Seen, Standing } from './command-model.js';

export type JobDevice = Selectable<CommandJobDeviceTable>;

/** A device of a job beside what is known of it. */
export interface SeenDevice extends Seen {
  readonly device: string;
  readonly sentAt: number | null;
  readonly timeoutAt: number | null;
}

/** As devices report it: any code, known here or not. */
export interface CommandProblem {
  readonly code: string;
  readonly message: string;
}

export interface Outcome {
  readonly standing: Exclude<Standing, 'waiting' | 'sent'>;
  readonly at: number;
  readonly answerJson?: string | undefined;
  readonly problem?: CommandProblem | undefined;
}

const insertedAtOnce = 500;

export class CommandRepository {
  constructor(private readonly db: Database) {}

  within(transaction: Database): CommandRepository {
    return new CommandRepository(transaction);
  }

  transaction<T>(work: (commands: CommandRepository) => Promise<T>): Promise<T> {
    return this.db.transaction().execute((transaction) => work(new CommandRepository(transaction)));
  }

  async nextNumber(workspace: string): Promise<number> {
    const row = await this.db
      .selectFrom('commandJobs')
      .select((query) => query.fn.max('number').as('last'))
      .where('workspace', '=', workspace)
      .executeTakeFirst();
    return (row?.last ?? 0) + 1;
  }

  async insert(job: CommandJob, devices: readonly string[]): Promise<void> {
    const { arguments: args, fleet = null, schedule = null, endedAt = null, ...rest } = job;
    const row = { ...rest, argumentsJson: JSON.stringify(args), fleet, schedule, endedAt };
    await this.db.insertInto('commandJobs').values(row).execute();
    const empty = { sentAt: null, timeoutAt: null, endedAt: null, answerJson: null, problemJson: null };
    for (let from = 0; from < devices.length; from += insertedAtOnce) {
      const rows = devices.slice(from, from + insertedAtOnce).map((device) => ({
        ...{ workspace: job.workspace, job: job.number, device, standing: 'waiting' as const, ...empty },
      }));
      await this.db.insertInto('commandJobDevices').values(rows).execute();
    }
  }

  async find({ workspace, number }: JobAddress): Promise<CommandJob | undefined> {
    const row = await this.db
      .selectFrom('commandJobs')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('number', '=', number)
      .executeTakeFirst();
    return row && toJob(row);
  }

  /** @throws AppError `command.not-found` */
  async require(address: JobAddress): Promise<CommandJob> {
    const found = await this.find(address);
    if (found !== undefined) return found;
    throw new AppError(
      'command.not-found',
      `there is no command ${String(address.number)} in workspace ${address.workspace}: flotilla command list shows those there are`,
    );
  }

  /** Newest first. */
  async list(workspace: string, page: PageRequest): Promise<Page<CommandJob>> {
    const query = this.db.selectFrom('commandJobs').selectAll().where('workspace', '=', workspace);
    const found = await newestFirst(query, [{ column: 'number', type: 'number' }], page);
    return { ...found, items: found.items.map(toJob) };
  }

  /** Of every workspace; those that have not ended. */
  async listUnderWay(workspace?: string): Promise<CommandJob[]> {
    const all = this.db
      .selectFrom('commandJobs')
      .selectAll()
      .where('endedAt', 'is', null)
      .orderBy('workspace')
      .orderBy('number');
    return (await (workspace === undefined ? all : all.where('workspace', '=', workspace)).execute()).map(toJob);
  }

  async counts({ workspace, number }: JobAddress): Promise<Partial<Record<Standing, number>>> {
    const rows = await this.db
      .selectFrom('commandJobDevices')
      .select((query) => ['standing', query.fn.countAll<number>().as('count')])
      .where('workspace', '=', workspace)
      .where('job', '=', number)
      .groupBy('standing')
      .execute();
    return Object.fromEntries(rows.map(({ standing, count }) => [standing, count]));
  }

  /** By name. */
  async devices(
    { workspace, number }: JobAddress,
    { limit, cursor }: PageRequest,
    standing?: Standing,
  ): Promise<Page<JobDevice>> {
    let query = this.db
      .selectFrom('commandJobDevices')
      .selectAll()
      .where('workspace', '=', workspace)
      .where('job', '=', number)
      .orderBy('device')
      .limit(limit + 1);
    if (standing !== undefined) query = query.where('standing', '=', standing);
    if (cursor !== undefined) query = query.where('device', '>', String(decodeCursor(cursor, ['string'])[0]));
    const rows = await query.execute();
    const items = rows.slice(0, limit);
    const last = rows.length > limit ? items.at(-1) : undefined;
    return last === undefined ? { items } : { items, next: encodeCursor([last.device]) };
  }

  /** Of a job, with what is known of each now. */
  async seen(
    { workspace, number }: JobAddress,
    standing: 'waiting' | 'sent',
    limit: number,
    only?: 'reachable',
  ): Promise<SeenDevice[]> {
    let query = this.db
      .selectFrom('commandJobDevices as c')
      .innerJoin('devices as d', (join) =>
        join.onRef('d.workspace', '=', 'c.workspace').onRef('d.name', '=', 'c.device'),
      )
      .select(['c.device', 'c.sentAt', 'c.timeoutAt', 'd.online', 'd.presenceAt', 'd.retiredAt'])
      .where('c.workspace', '=', workspace)
      .where('c.job', '=', number)
      .where('c.standing', '=', standing)
      .orderBy('c.device')
      .limit(limit);
    // A retired one has its turn too: to be told that it is retired.
    if (only === 'reachable')
      query = query.where((is) => is.or([is('d.online', '=', 1), is('d.retiredAt', 'is not', null)]));
    const rows = await query.execute();
    return rows.map(({ online, retiredAt, ...row }) => ({ ...row, online: online === 1, retired: retiredAt !== null }));
  }

  async sent({ workspace, number }: JobAddress, device: string, sentAt: number, timeoutAt: number): Promise<void> {
    await this.db
      .updateTable('commandJobDevices')
      .set({ standing: 'sent', sentAt, timeoutAt })
      .where('workspace', '=', workspace)
      .where('job', '=', number)
      .where('device', '=', device)
      .where('standing', '=', 'waiting')
      .execute();
  }

  /** @returns false when it had ended otherwise before: an answer that comes late changes nothing */
  async end(
    { workspace, number }: JobAddress,
    device: string,
    from: 'waiting' | 'sent',
    { standing, at, answerJson, problem }: Outcome,
  ): Promise<boolean> {
    const result = await this.db
      .updateTable('commandJobDevices')
      .set({
        standing,
        endedAt: at,
        answerJson: answerJson ?? null,
        problemJson: problem ? JSON.stringify(problem) : null,
      })
      .where('workspace', '=', workspace)
      .where('job', '=', number)
      .where('device', '=', device)
      .where('standing', '=', from)
      .executeTakeFirst();
    return result.numUpdatedRows === 1n;
  }

  async addAnswerBytes({ workspace, number }: JobAddress, bytes: number): Promise<void> {
    await this.db
      .updateTable('commandJobs')
      .set((is) => ({ answerBytes: is('answerBytes', '+', bytes) }))
      .where('workspace', '=', workspace)
      .where('number', '=', number)
      .execute();
  }

  /** @returns false when it was in another state */
  async move({ workspace, number }: JobAddress, from: JobState, to: JobState, endedAt?: string): Promise<boolean> {
    const result = await this.db
      .updateTable('commandJobs')
      .set({ state: to, endedAt: endedAt ?? null })
      .where('workspace', '=', workspace)
      .where('number', '=', number)
      .where('state', '=', from)
      .executeTakeFirst();
    return result.numUpdatedRows === 1n;
  }

  /** One that has not ended, runs that operation, and has yet to come to an end on one of the devices. */
  async rival(
    workspace: string,
    operation: JobOperation,
    devices: readonly string[],
  ): Promise<{ readonly number: number; readonly device: string } | undefined> {
    for (let from = 0; from < devices.length; from += insertedAtOnce) {
      const row = await this.db
        .selectFrom('commandJobDevices as c')
        .innerJoin('commandJobs as j', (join) =>
          join.onRef('j.workspace', '=', 'c.workspace').onRef('j.number', '=', 'c.job'),
        )
        .select(['j.number', 'c.device'])
        .where('c.workspace', '=', workspace)
        .where('c.device', 'in', devices.slice(from, from + insertedAtOnce))
        .where('c.standing', 'in', ['waiting', 'sent'])
        .where('j.operation', '=', operation)
        .executeTakeFirst();
      if (row !== undefined) return row;
    }
    return undefined;
  }
}

function toJob(row: Selectable<CommandJobTable>): CommandJob {
  const { argumentsJson, operation, fleet, schedule, endedAt, ...rest } = row;
  return {
    ...rest,
    operation: operation as JobOperation,
    arguments: JSON.parse(argumentsJson) as Record<string, unknown>,
    ...(fleet === null ? {} : { fleet }),
    ...(schedule === null ? {} : { schedule }),
    ...(endedAt === null ? {} : { endedAt }),
  };
}
