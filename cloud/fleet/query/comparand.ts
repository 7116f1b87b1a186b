/** Which side of a fact a value is compared with, so that evaluation and SQL cannot differ. Pure. */
import { versionOrder } from './facts.js';
import type { QueryOperator, QueryValue } from './query-ast.js';
import { typeOf } from './properties.js';

export type Comparand =
  | { readonly column: 'text'; readonly value: string }
  | { readonly column: 'number'; readonly value: number };

/** For a value that the parser let through with this property and operator. */
export function comparandOf(property: string, operator: QueryOperator, value: QueryValue): Comparand {
  if (typeof value === 'number') return { column: 'number', value };
  const ordered = operator !== '=' && operator !== '~';
  if (ordered && typeOf(property) === 'version') return { column: 'number', value: versionOrder(value) ?? Number.NaN };
  return { column: 'text', value };
}
