/** The log of an activity, page after page. */
import type * as z from 'zod';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import { routes } from '#cloud/client/routes.js';
import type { activityLog } from '#cloud/http/schemas/activities.js';
import type { PageWish } from './list-paging.js';

export type ActivityLog = z.output<typeof activityLog>;

const pageLimit = 500;

/** All lines, or the first `limit` of those after the cursor, and how to go on. */
export async function readActivityLog(client: FlotillaClient, id: string, wish: PageWish): Promise<ActivityLog> {
  const { limit = Number.POSITIVE_INFINITY } = wish;
  const lines: ActivityLog['lines'] = [];
  let { cursor } = wish;
  do {
    const query = { cursor, limit: Math.min(pageLimit, limit - lines.length) };
    const page = await client.call(routes.activityLog, { params: { id }, query });
    lines.push(...page.lines);
    cursor = page.next;
  } while (cursor !== undefined && lines.length < limit);
  return cursor === undefined ? { lines } : { lines, next: cursor };
}

/** Remembers what it has read: each call gives the lines that came since. */
export function followActivityLog(client: FlotillaClient, id: string): () => Promise<ActivityLog['lines']> {
  // Where the last page begins that may still grow, and how many of its lines are known.
  let cursor: string | undefined;
  let known = 0;
  return async () => {
    const fresh: ActivityLog['lines'] = [];
    for (;;) {
      const page = await client.call(routes.activityLog, { params: { id }, query: { cursor, limit: pageLimit } });
      fresh.push(...page.lines.slice(known));
      known = page.lines.length;
      if (page.next === undefined) return fresh;
      cursor = page.next;
      known = 0;
    }
  };
}
