/** What files of settings share: mappings whose unknown fields are refused by name. Pure. */
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';

/** @param prefix where the mapping stands, as `modules.digits.`; @throws AppError `request.invalid` with the nearest valid one */
export function refuseUnknownFields(value: object, known: readonly string[], where: string, prefix = ''): void {
  for (const key of Object.keys(value)) {
    if (known.includes(key)) continue;
    const near = nearest(key, known);
    const help = near === undefined ? `known are ${known.join(', ')}` : `did you mean ${prefix}${near}?`;
    throw invalidFile(where, `there is no field ${prefix}${key}; ${help}`);
  }
}

/** Of the mappings in a list; what else is in it is left to the schema. @param name of the list, as `waves` */
export function refuseUnknownItemFields(list: unknown, known: readonly string[], where: string, name: string): void {
  if (!Array.isArray(list)) return;
  for (const [index, item] of list.entries()) {
    if (isMapping(item)) refuseUnknownFields(item, known, where, `${name}.${String(index)}.`);
  }
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function invalidFile(where: string, what: string): AppError {
  return new AppError('request.invalid', `${where}: ${what}`);
}
