/**
 * How pieces of collected lines are called, by which alone it is known what they hold:
 * `{beginning, epoch ms}.{collection}.{module}.{instance}.{number}.jsonl`. While lines are still added it ends in `.open`.
 * Pure.
 */
import { namePattern } from '#shared/kernel/names.js';
import { type Collection, collections } from '#shared/protocol/collect.js';

export interface PieceName {
  /** Wall time of the first line; all lines are of its hour. */
  readonly beginMs: number;
  readonly collection: Collection;
  readonly module: string;
  /** The process that wrote it. */
  readonly instance: string;
  readonly number: number;
}

const pattern = /^(\d{16})\.([a-z_]{1,32})\.([a-z0-9-]{1,63})\.([a-z0-9-]{1,64})\.(\d{8})\.jsonl(\.open)?$/;

export const openEnding = '.open';

export function pieceFileOf({ beginMs, collection, module, instance, number }: PieceName): string {
  return `${pad(beginMs, 16)}.${collection}.${module}.${instance}.${pad(number, 8)}.jsonl`;
}

/** Undefined for whatever {@link pieceFileOf} cannot have made. */
export function readPieceFile(file: string): (PieceName & { readonly open: boolean }) | undefined {
  const [, begin, collection, module, instance, number, open] = pattern.exec(file) ?? [];
  const known = collections.find((one) => one === collection);
  if (known === undefined || module === undefined || !namePattern.test(module) || instance === undefined) {
    return undefined;
  }
  return {
    ...{ beginMs: Number(begin), collection: known, module, instance, number: Number(number) },
    open: open !== undefined,
  };
}

function pad(value: number, digits: number): string {
  return String(Math.max(0, Math.floor(value))).padStart(digits, '0');
}
