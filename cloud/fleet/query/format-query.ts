/** A query as text that reads back as the same query. Pure. */
import type { Query, QueryValue } from './query-ast.js';

export function formatQuery(query: Query): string {
  switch (query.kind) {
    case 'and':
      return query.of
        .map((one) => (one.kind === 'and' || one.kind === 'or' ? group(one) : formatQuery(one)))
        .join(' and ');
    case 'or':
      return query.of.map((one) => (one.kind === 'or' ? group(one) : formatQuery(one))).join(' or ');
    case 'not':
      return `not ${query.of.kind === 'and' || query.of.kind === 'or' ? group(query.of) : formatQuery(query.of)}`;
    case 'has':
      return query.property;
    case 'compare':
      return `${query.property} ${query.operator} ${formatValue(query.value)}`;
    case 'in':
      return `${query.property} in (${query.values.map(formatValue).join(', ')})`;
  }
}

function group(query: Query): string {
  return `(${formatQuery(query)})`;
}

function formatValue(value: QueryValue): string {
  if (typeof value === 'string') return `"${value.replaceAll(/["\\]/g, (special) => `\\${special}`)}"`;
  // The language has no exponents.
  const text = String(value);
  return text.includes('e') ? value.toFixed(15).replace(/0+$/, '') : text;
}
