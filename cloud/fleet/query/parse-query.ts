/** From what was typed to a query, or to what is wrong with it and where. Pure. */
import type { Node } from 'ohm-js';
import { AppError } from '#shared/kernel/errors.js';
import { storable, versionOrder } from './facts.js';
import { queryGrammar } from './grammar.js';
import { type Property, resolveProperty } from './properties.js';
import { propertiesIn, type Query, queryLimits, type QueryOperator, type QueryValue } from './query-ast.js';

/** @throws AppError `query.invalid` with the column, counted from 1, in its message and details */
export function parseQuery(text: string): Query {
  checkSize(text);
  const match = queryGrammar.match(text);
  if (match.failed()) throw invalid(match.getRightmostFailurePosition(), `expected ${match.getExpectedText()}`, text);
  const query = asQuery(semantics(match) as Node);
  if (propertiesIn(query).length > queryLimits.conditions) {
    throw invalid(0, `it has more than ${String(queryLimits.conditions)} conditions`, text);
  }
  return query;
}

/** Before the parser, which goes as deep as the text does. */
function checkSize(text: string): void {
  if (text.trim() === '') throw invalid(0, 'it is empty; write for example site = "north" and not online', text);
  if (text.length > queryLimits.length) {
    throw invalid(queryLimits.length, `it has more than ${String(queryLimits.length)} characters`, '');
  }
  let depth = 0;
  for (const [token] of text.matchAll(/"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[()]/gs)) {
    if (token === '(') depth += 1;
    if (token === ')') depth -= 1;
    if (depth > queryLimits.depth) throw invalid(0, `more than ${String(queryLimits.depth)} parentheses deep`, text);
  }
}

const semantics = queryGrammar.createSemantics();

semantics.addOperation<Query>('query', {
  Query: (or) => asQuery(or),
  Or: (first, _or, others) => joined('or', first, others),
  And: (first, _and, others) => joined('and', first, others),
  Not: (nots, condition) => {
    let query = asQuery(condition);
    for (let left = nots.numChildren; left > 0; left--) query = negated(query);
    return query;
  },
  Condition_group: (_open, or, _close) => asQuery(or),
  Condition_in: (word, not, _in, _open, list, _close) => {
    const property = propertyAt(word);
    const items = list.asIteration().children;
    if (items.length > queryLimits.values) {
      throw invalidAt(list, `at most ${String(queryLimits.values)} values stand in one list`);
    }
    const values = items.map((item) => valueFor(property, '=', item));
    const query: Query = { kind: 'in', property: property.name, values };
    return not.numChildren > 0 ? negated(query) : query;
  },
  Condition_compare: (word, sign, value) => {
    const property = propertyAt(word);
    const operator = operatorAt(sign);
    if (property.type === 'yes-no') return yesNo(property, operator, value, sign);
    const plain = operator === '!=' ? '=' : operator;
    const compare: Query = {
      kind: 'compare',
      property: property.name,
      operator: plain,
      value: valueFor(property, plain, value),
    };
    return operator === '!=' ? negated(compare) : compare;
  },
  Condition_has: (word) => ({ kind: 'has', property: propertyAt(word).name }),
});

semantics.addOperation<QueryValue | boolean>('value', {
  value: (value) => asValue(value),
  yes: (word) => word.sourceString.toLowerCase() === 'true',
  number: (numeral) => {
    const number = Number(numeral.sourceString);
    if (!/^-?\d{1,15}(\.\d{1,15})?$/.test(numeral.sourceString)) {
      throw invalidAt(numeral, 'a number has at most 15 digits before and after its point');
    }
    // Zero has no sign.
    return number === 0 ? 0 : number;
  },
  string_double: (_open, text, _close) => unescaped(text),
  string_single: (_open, text, _close) => unescaped(text),
});

function asQuery(node: Node): Query {
  return (node as unknown as { query(): Query }).query();
}

function asValue(node: Node): QueryValue | boolean {
  return (node as unknown as { value(): QueryValue | boolean }).value();
}

function joined(kind: 'and' | 'or', first: Node, others: Node): Query {
  const queries = [first, ...others.children].map(asQuery);
  const [only] = queries;
  return queries.length === 1 && only !== undefined ? only : { kind, of: queries };
}

function negated(query: Query): Query {
  return query.kind === 'not' ? query.of : { kind: 'not', of: query };
}

function propertyAt(word: Node): Property {
  const resolved = resolveProperty(word.sourceString);
  if (resolved.ok) return resolved.value;
  throw invalidAt(word, resolved.error);
}

function operatorAt(sign: Node): QueryOperator | '!=' {
  if (sign.sourceString === '==') throw invalidAt(sign, 'equality is written =, not ==');
  return sign.sourceString as QueryOperator | '!=';
}

/** `online = false` is `not online`. */
function yesNo(property: Property, operator: QueryOperator | '!=', value: Node, sign = value): Query {
  const asked = asValue(value);
  if (typeof asked !== 'boolean') throw invalidAt(value, `${property.name} is true or false`);
  if (operator !== '=' && operator !== '!=') throw invalidAt(sign, `${property.name} is true or false; compare with =`);
  const has: Query = { kind: 'has', property: property.name };
  return asked === (operator === '=') ? has : negated(has);
}

function valueFor({ name, type }: Property, operator: QueryOperator, node: Node): QueryValue {
  if (type === 'yes-no') throw invalidAt(node, `${name} is true or false; compare with =`);
  const value = asValue(node);
  const ordered = operator !== '=' && operator !== '~';
  if (operator === '~') {
    if (typeof value !== 'string' || type === 'number') {
      throw invalidAt(node, `~ compares texts with a pattern, for example name ~ "cam-*"`);
    }
    if (value.split('*').length - 1 > queryLimits.stars) {
      throw invalidAt(node, `at most ${String(queryLimits.stars)} stars stand in one pattern`);
    }
    return value;
  }
  if (type === 'number' || (type === 'tag' && ordered)) {
    if (typeof value === 'number') return value;
    throw invalidAt(node, `${name}${type === 'tag' ? ' in an order' : ''} is compared with a number, without quotes`);
  }
  if (type === 'text' && ordered) throw invalidAt(node, `${name} has no order; compare with =, !=, in or ~`);
  if (type === 'version' && ordered && (typeof value !== 'string' || versionOrder(value) === null)) {
    throw invalidAt(node, `${name} is compared with a version in quotes, for example "1.2.0"`);
  }
  if (type !== 'tag' && typeof value !== 'string') throw invalidAt(node, `${name} is a text: put it in quotes`);
  return typeof value === 'boolean' ? String(value) : value;
}

function unescaped(text: Node): string {
  return storable(text.sourceString.replaceAll(/\\(.)/gs, '$1'));
}

function invalidAt({ source }: Node, what: string): AppError {
  return invalid(source.startIdx, what, source.sourceString);
}

/** @param at index in the text */
function invalid(at: number, what: string, text: string): AppError {
  const rest = text.slice(at, at + 20);
  const near = rest === '' ? '' : ` (${rest})`;
  return new AppError('query.invalid', `the query is wrong at column ${String(at + 1)}${near}: ${what}`, {
    details: { column: at + 1 },
  });
}
