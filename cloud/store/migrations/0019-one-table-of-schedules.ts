import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import { toInstant } from '#shared/kernel/clock.js';

interface CommandRow {
  readonly workspace: string;
  readonly name: string;
  readonly kind: string;
  readonly whenJson: string;
  readonly actionJson: string;
  readonly nextAt: number | null;
  readonly lastAt: number | null;
  readonly lastJson: string | null;
  readonly createdAt: string;
  readonly createdBy: string;
}

interface RolloutRow {
  readonly workspace: string;
  readonly number: number;
  readonly orderJson: string;
  readonly cron: string | null;
  readonly timeZone: string | null;
  readonly nextAt: number | null;
  readonly lateSeconds: number;
  readonly state: string;
  readonly lastAt: number | null;
  readonly lastRollout: number | null;
  readonly lastText: string;
  readonly createdAt: string;
  readonly createdBy: string;
}

/** One table for what is begun at some time, where commands and rollouts had one each. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const commands = await sql<CommandRow>`select * from schedules`.execute(db);
  const rollouts = await sql<RolloutRow>`select * from rolloutSchedules`.execute(db);
  const statements = [
    sql`drop table schedules`,
    sql`drop table rolloutSchedules`,
    // name: of rollouts a number. lateSeconds: null where it is begun however late. What an action is, its kind knows.
    sql`create table schedules (
      workspace text not null references workspaces(name), kind text not null, name text not null,
      whenJson text not null, lateSeconds integer, actionJson text not null, nextAt integer,
      lastAt integer, lastJson text, cancelled integer not null, createdAt text not null, createdBy text not null,
      primary key (workspace, kind, name))`,
    sql`create index schedulesDue on schedules (nextAt) where nextAt is not null`,
  ];
  for (const statement of statements) await statement.execute(db);
  for (const row of [...commands.rows.map(ofCommand), ...rollouts.rows.map(ofRollout)]) {
    const columns = sql.join(Object.keys(row).map((column) => sql.ref(column)));
    await sql`insert into schedules (${columns}) values (${sql.join(Object.values(row))})`.execute(db);
  }
}

function ofCommand({ whenJson, ...rest }: CommandRow): object {
  const { missed, ...when } = JSON.parse(whenJson) as { missed: string; at?: string; cron?: string };
  const { cron } = when;
  const now = cron === undefined ? when : { ...when, cron: inNewCalendar(cron) };
  return { ...rest, whenJson: JSON.stringify(now), lateSeconds: missed === 'run' ? null : 300, cancelled: 0 };
}

function ofRollout(row: RolloutRow): object {
  const { workspace, number, cron, lateSeconds, nextAt, lastAt, lastText, createdAt, createdBy } = row;
  // When one that is over was to start, nobody asks any more.
  const at = toInstant(nextAt ?? lastAt ?? Date.parse(createdAt));
  const text = lastText.replace(/^(?:missed|not started): /, '');
  const last = { outcome: outcomeOf(row), text, ...(row.lastRollout === null ? {} : { number: row.lastRollout }) };
  return {
    ...{ workspace, kind: 'rollout', name: String(number), lateSeconds, actionJson: row.orderJson, nextAt, lastAt },
    whenJson: JSON.stringify(cron === null ? { at } : { cron, timeZone: row.timeZone ?? 'UTC' }),
    lastJson: lastAt === null ? null : JSON.stringify(last),
    ...{ cancelled: row.state === 'cancelled' ? 1 : 0, createdAt, createdBy },
  };
}

function outcomeOf({ lastRollout, lastText }: RolloutRow): string {
  if (lastRollout !== null) return 'begun';
  return lastText.startsWith('missed') ? 'missed' : 'failed';
}

/** The calendar of commands knew long names, and took a day of the month and one of the week to be meant both. */
function inNewCalendar(cron: string): string {
  const [minute = '', hour = '', day = '', month = '', week = ''] = cron
    .trim()
    .split(/\s+/)
    .map((field) => field.replaceAll(/[a-z]{4,}/gi, (name) => name.slice(0, 3)).replace('?', '*'));
  return [minute, hour, day, month, day !== '*' && week !== '*' ? `+${week}` : week].join(' ');
}
