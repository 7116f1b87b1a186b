/** Events of devices: pages for who looks, and what is new for who follows. */
import { sql } from 'kysely';
import type { TelemetryStore } from '#cloud/store/telemetry-database.js';
import type { EventsAnswer, EventsQuestion, NewEvents, NewEventsQuestion } from './telemetry-port.js';

export async function readEvents(db: TelemetryStore, question: EventsQuestion): Promise<EventsAnswer> {
  const query = db
    .selectFrom('deviceEvents')
    .select(['id', 'at', 'receivedAt', 'level', 'type', 'module', 'message'])
    .where('workspace', '=', question.workspace)
    .where('device', '=', question.device)
    .orderBy('id', 'desc')
    .limit(question.limit + 1);
  const rows = await (question.before === undefined ? query : query.where('id', '<', question.before)).execute();
  const shown = rows.slice(0, question.limit);
  const last = shown.at(-1);
  return {
    events: shown.map(({ id: _id, module, ...event }) => ({ ...event, ...(module === null ? {} : { module }) })),
    ...(rows.length > question.limit && last ? { next: last.id } : {}),
  };
}

export async function readNewEvents(
  db: TelemetryStore,
  { workspace, after, limit }: NewEventsQuestion,
): Promise<NewEvents> {
  const rows = await db
    .selectFrom('deviceEvents')
    .select(['id', 'device', 'at', 'receivedAt', 'level', 'type', 'module', 'message'])
    .where('workspace', '=', workspace)
    .where('id', '>', after)
    .orderBy('id')
    .limit(limit)
    .execute();
  const newest = await sql<{ seq: number }>`select seq from sqlite_sequence where name = 'deviceEvents'`.execute(db);
  return {
    events: rows.map(({ module, ...event }) => ({ ...event, ...(module === null ? {} : { module }) })),
    newest: newest.rows[0]?.seq ?? 0,
  };
}
