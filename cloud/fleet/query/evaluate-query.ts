/** Whether a device matches, from what is known of it. Pure. */
import { unreachable } from '#shared/kernel/result.js';
import { comparandOf } from './comparand.js';
import type { Fact, Facts } from './facts.js';
import { matchesGlob } from './glob.js';
import type { Query, QueryOperator, QueryValue } from './query-ast.js';

export function matchesQuery(query: Query, facts: Facts): boolean {
  switch (query.kind) {
    case 'and':
      return query.of.every((one) => matchesQuery(one, facts));
    case 'or':
      return query.of.some((one) => matchesQuery(one, facts));
    case 'not':
      return !matchesQuery(query.of, facts);
    case 'has':
      return facts.has(query.property);
    case 'compare':
      return holds(query.property, query.operator, query.value, facts.get(query.property));
    case 'in':
      return query.values.some((value) => holds(query.property, '=', value, facts.get(query.property)));
  }
}

function holds(property: string, operator: QueryOperator, value: QueryValue, fact: Fact | undefined): boolean {
  const comparand = comparandOf(property, operator, value);
  if (comparand.column === 'text') {
    const text = fact?.text ?? undefined;
    if (text === undefined) return false;
    return operator === '~' ? matchesGlob(text, comparand.value) : text === comparand.value;
  }
  const known = fact?.number ?? undefined;
  if (known === undefined) return false;
  switch (operator) {
    case '=':
      return known === comparand.value;
    case '<':
      return known < comparand.value;
    case '<=':
      return known <= comparand.value;
    case '>':
      return known > comparand.value;
    case '>=':
      return known >= comparand.value;
    case '~':
      return false;
    default:
      return unreachable(operator);
  }
}
