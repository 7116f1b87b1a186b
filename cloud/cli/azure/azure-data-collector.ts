/** `data_collector` of an online deployment of Azure ML v2, as what is to be collected here. Pure. */
import { type Collection, collections, type CollectRule, collectRuleSchema } from '#shared/protocol/collect.js';
import { isMapping } from '../yaml-fields.js';
import type { AzureFields } from './azure-fields.js';

/** @returns undefined: the file says nothing of it; null: nothing is to be collected */
export function readDataCollector(fields: AzureFields): CollectRule | null | undefined {
  const inner = fields.inner('data_collector', ['collections', 'sampling_rate', 'rolling_rate'], {
    request_logging: 'headers are not collected',
  });
  if (inner === undefined) return undefined;
  const rate = rateOf(inner);
  const rolling = inner.text('rolling_rate');
  if (rolling !== undefined && rolling.toLowerCase() !== 'hour') inner.note('rolling_rate', 'files are by the hour');
  const enabled = enabledOf(inner);
  return enabled.length === 0 ? null : collectRuleSchema.parse({ rate, collections: enabled });
}

function rateOf(inner: AzureFields): number {
  const value = inner.raw('sampling_rate') ?? 1;
  const rate = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof rate === 'number' && rate >= 0 && rate <= 1) return rate;
  throw inner.wrong('sampling_rate', 'must be a number from 0 to 1');
}

function enabledOf(inner: AzureFields): Collection[] {
  const all = inner.raw('collections') ?? {};
  if (!isMapping(all)) throw inner.wrong('collections', 'is no mapping of names to what is collected');
  const enabled: Collection[] = [];
  for (const [name, value] of Object.entries(all)) {
    const where = `collections.${name.slice(0, 80)}`;
    if (!isMapping(value)) throw inner.wrong(where, 'is no mapping');
    const known = collections.find((one) => one === name);
    const on = flagOf(value['enabled']);
    if (on === undefined) throw inner.wrong(`${where}.enabled`, 'must be True or False');
    if (known === undefined && on) inner.note(where, `there are ${collections.join(' and ')}`);
    if (known !== undefined && on) enabled.push(known);
    if (value['data'] !== undefined && value['data'] !== null) {
      inner.note(`${where}.data`, 'it goes to the storage of the workspace: flotilla data list');
    }
  }
  return enabled;
}

/** Azure writes it as a text. */
function flagOf(value: unknown): boolean | undefined {
  if (typeof value === 'boolean') return value;
  if (typeof value !== 'string' || !/^(true|false)$/i.test(value)) return undefined;
  return value.toLowerCase() === 'true';
}
