/**
 * Where collected lines lie, by Azure ML's convention:
 * `modelDataCollector/{endpoint}/{deployment}/{collection}/{yyyy}/{MM}/{dd}/{HH}/{instance}.jsonl`. A device takes the
 * place of a deployment, and of the instance, and its module that of the endpoint. Pure.
 */
import { toInstant } from '#shared/kernel/clock.js';
import type { Collection } from '#shared/protocol/collect.js';

export const collectorFolder = 'modelDataCollector';
const hourMs = 3_600_000;
/** A clock that is further off than so is not believed. */
const believedBeforeMs = 7 * 24 * hourMs;
const believedAfterMs = hourMs;

export interface CollectedPlace {
  readonly endpoint: string;
  readonly deployment: string;
  readonly collection: Collection;
  /** Hours since 1970. */
  readonly hour: number;
  readonly instance: string;
}

export function collectedPath({ endpoint, deployment, collection, hour, instance }: CollectedPlace): string {
  const [date = '', time = ''] = toInstant(hour * hourMs).split('T');
  const parts = [collectorFolder, endpoint, deployment, collection, ...date.split('-'), time.slice(0, 2)];
  return `${parts.join('/')}/${instance}.jsonl`;
}

/** The hour of lines, by the clock of who wrote them where that can be right; else by ours. */
export function hourOf(theirMs: number, nowMs: number): number {
  const believed = theirMs >= nowMs - believedBeforeMs && theirMs <= nowMs + believedAfterMs;
  return Math.floor((believed ? theirMs : nowMs) / hourMs);
}
