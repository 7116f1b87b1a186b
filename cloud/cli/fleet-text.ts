/** Queries and fleets in words. */
import type * as z from 'zod';
import type { deviceCount, FleetBody } from '#cloud/http/schemas/fleets.js';
import { formatFields } from './output.js';

export type Counted = z.output<typeof deviceCount>;

/** `12 devices match, 9 of them online`, with how the query was understood and what looks wrong in it. */
export function describeCount({ count, online, query, notes }: Counted): string {
  return formatFields([
    ['matching', devicesText(count, online)],
    ['asked', query],
    ...notes.map((note) => ['note', note] as const),
  ]);
}

export function describeFleet(fleet: FleetBody & { readonly members: Counted }): string {
  return formatFields([
    ['fleet', fleet.name],
    ['where', fleet.where],
    ['description', fleet.description === '' ? undefined : fleet.description],
    ['members', devicesText(fleet.members.count, fleet.members.online)],
    ['updated', fleet.updatedAt],
    ...fleet.members.notes.map((note) => ['note', note] as const),
  ]);
}

function devicesText(count: number, online: number): string {
  return `${String(count)} ${count === 1 ? 'device' : 'devices'}, ${String(online)} online`;
}
