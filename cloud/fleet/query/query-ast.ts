/** A question about devices, as plain JSON. Pure. */
import * as z from 'zod';

/** `=` compares texts exactly and numbers by value; `~` is a pattern in which `*` stands for anything. */
export const queryOperators = ['=', '<', '<=', '>', '>=', '~'] as const;
export type QueryOperator = (typeof queryOperators)[number];

const literal = z.union([z.string(), z.number()]);
export type QueryValue = z.infer<typeof literal>;

/** Canonical, for example `tags.site`, `online`, `modules.digits.version`: see `properties.ts`. */
const property = z.string();

/**
 * A device either matches or does not: what is not known of it fails every comparison, and `not` is always
 * the opposite. `!=`, `not in` and `= false` are written with it.
 */
export type Query =
  | { readonly kind: 'and' | 'or'; readonly of: readonly Query[] }
  | { readonly kind: 'not'; readonly of: Query }
  /** The property is known; where it is one of yes or no, it is yes. */
  | { readonly kind: 'has'; readonly property: string }
  | {
      readonly kind: 'compare';
      readonly property: string;
      readonly operator: QueryOperator;
      readonly value: QueryValue;
    }
  | { readonly kind: 'in'; readonly property: string; readonly values: readonly QueryValue[] };

export const querySchema: z.ZodType<Query> = z.lazy(() =>
  z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.enum(['and', 'or']), of: z.array(querySchema).min(2) }),
    z.strictObject({ kind: z.literal('not'), of: querySchema }),
    z.strictObject({ kind: z.literal('has'), property }),
    z.strictObject({ kind: z.literal('compare'), property, operator: z.enum(queryOperators), value: literal }),
    z.strictObject({ kind: z.literal('in'), property, values: z.array(literal).min(1) }),
  ]),
);

export const queryLimits = {
  /** Characters of its text. */
  length: 2048,
  /** Parentheses within parentheses. */
  depth: 20,
  /** Conditions; each is a look-up, and one that finds every device of a large fleet takes tens of milliseconds. */
  conditions: 32,
  /** Values of one `in`. */
  values: 100,
  /** Stars of one pattern: matching takes longer with each. */
  stars: 4,
} as const;

/** Names of the tags that it asks for, each once. */
export function tagsIn(query: Query): string[] {
  return [...new Set(propertiesIn(query))]
    .filter((name) => name.startsWith('tags.'))
    .map((name) => name.slice('tags.'.length));
}

/** Of every condition, in the order they are written. */
export function propertiesIn(query: Query): string[] {
  switch (query.kind) {
    case 'and':
    case 'or':
      return query.of.flatMap(propertiesIn);
    case 'not':
      return propertiesIn(query.of);
    case 'has':
    case 'compare':
    case 'in':
      return [query.property];
  }
}
