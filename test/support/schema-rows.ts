/** What a page must say of the fields of a JSON Schema, as rows of a table: field, values, default. */
import { namePattern } from '#shared/kernel/names.js';

export interface Schema {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  /** Of a map: what stands under each name. */
  readonly propertyNames?: Schema;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly pattern?: string;
  readonly allOf?: unknown;
}

/** Field, values and default. */
export type Row = readonly [string, string, string];

const patternsOfNames = [namePattern.source, '^[A-Za-z][A-Za-z0-9_-]{0,62}$'];

/** A field that has several forms, each a section, stands with the fields of them all. */
export function rowsOf(schema: Schema, above: string): Row[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const path = `${above}${name}`;
    const isRequired = schema.required?.includes(name) ?? false;
    const own: Row = [path, valuesOf(field), defaultOf(field, isRequired)];
    if (field.anyOf) return [own, ...field.anyOf.flatMap((form) => rowsOf(form, `${path}.`))];
    if (field.type === 'object') return [own, ...rowsOf(field, `${path}.`)];
    return field.items?.type === 'object' ? [own, ...rowsOf(field.items, `${path}[].`)] : [own];
  });
}

function valuesOf(field: Schema): string {
  if (field.anyOf) return [...new Set(field.anyOf.map(valuesOf))].join(', ');
  if (field.const !== undefined) return String(field.const);
  if (field.enum) return field.enum.map(String).join(', ');
  if (field.type === 'object') return field.propertyNames ? 'map' : 'section';
  if (field.type === 'boolean') return 'true, false';
  if (field.type === 'array') {
    if (field.items?.enum) return `list of ${valuesOf(field.items)}`;
    return field.minItems === undefined ? 'list' : `list, ${String(field.minItems)} to ${String(field.maxItems)}`;
  }
  if (field.type === 'string') return textOf(field);
  return field.maximum === undefined
    ? `from ${String(field.minimum)}`
    : `${String(field.minimum)} to ${String(field.maximum)}`;
}

function textOf({ allOf, pattern }: Schema): string {
  if (allOf) return 'path';
  return pattern !== undefined && patternsOfNames.includes(pattern) ? 'name' : 'text';
}

function defaultOf(field: Schema, isRequired: boolean): string {
  if (isRequired) return 'required';
  // A section of fields that all have defaults works when it is left out; of another, leaving out means without.
  if (field.type === 'object') return field.required === undefined && !field.propertyNames ? 'defaults' : 'none';
  return field.default === undefined ? 'none' : JSON.stringify(field.default);
}

/** Values and default by field, of the tables on a page. */
export function rowsOn(page: string): {
  readonly fields: readonly string[];
  readonly rows: Map<string, readonly [string, string]>;
} {
  const found = [...page.matchAll(/^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|/gm)].map(
    ([, path = '', values = '', preset = '']) => [path, [values.trim(), preset.trim()]] as const,
  );
  return { fields: found.map(([path]) => path), rows: new Map(found) };
}
