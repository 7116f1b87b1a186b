/** What is typed of data collection, as a rule. Pure; every complaint names the argument and a right one. */
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import { type Collection, collections, type CollectRule, collectRuleSchema } from '#shared/protocol/collect.js';

export interface CollectFlags {
  readonly collect?: string;
  readonly redact: readonly string[];
  readonly collection: readonly string[];
  readonly collectMegabytes?: string;
}

const megabyte = 1024 * 1024;

/**
 * @param present what is collected now: what is not said stays, and names to be left out are only ever added
 * @returns undefined: nothing was said; null: nothing is to be collected
 */
export function readCollect(flags: CollectFlags, present: CollectRule | null = null): CollectRule | null | undefined {
  const { collect, redact, collection, collectMegabytes } = flags;
  const says = [...redact, ...collection, ...(collectMegabytes === undefined ? [] : [collectMegabytes])];
  if (collect === undefined && says.length === 0) return undefined;
  if (collect === 'none') {
    if (says.length > 0)
      throw invalid('--collect none collects nothing: leave out --redact, --collection and the rest');
    return null;
  }
  const rate = collect === undefined ? present?.rate : Number(collect);
  if (rate === undefined) throw invalid('give --collect <rate> too, as in --collect 0.1: nothing is collected yet');
  if (!Number.isFinite(rate) || rate < 0 || rate > 1 || collect?.trim() === '') {
    throw invalid(`--collect ${(collect ?? '').slice(0, 80)}: a share of requests from 0 to 1, as in 0.1, or none`);
  }
  const sides = collection.length > 0 ? [...new Set(collection.map(readCollection))] : present?.collections;
  const maxBytes = collectMegabytes === undefined ? present?.maxBytes : Number(collectMegabytes) * megabyte;
  const parsed = collectRuleSchema.safeParse({
    rate,
    redact: [...new Set([...(present?.redact ?? []), ...redact])],
    ...(sides === undefined ? {} : { collections: sides }),
    ...(maxBytes === undefined ? {} : { maxBytes }),
  });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const flag = issue?.path[0] === 'maxBytes' ? '--collect-megabytes' : '--redact';
  throw invalid(`${flag}: ${issue?.message ?? 'not valid'}`);
}

export function describeCollect({ rate, collections: sides, redact, maxBytes }: CollectRule): string {
  const without = redact.length === 0 ? '' : `, without ${redact.join(', ')}`;
  return `${String(rate * 100)}% of requests: ${sides.join(', ')}${without}; at most ${String(maxBytes / megabyte)} MiB`;
}

function readCollection(text: string): Collection {
  const found = collections.find((one) => one === text);
  if (found !== undefined) return found;
  const near = nearest(text, collections);
  throw invalid(
    `--collection ${text.slice(0, 80)}: there are ${collections.join(' and ')}${near === undefined ? '' : `; did you mean ${near}?`}`,
  );
}

function invalid(message: string): AppError {
  return new AppError('request.invalid', message);
}
