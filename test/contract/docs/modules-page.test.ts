import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { describe, expect, it } from 'vitest';
import { moduleManifestSchema, notYetFields, notYetFlavors } from '#shared/package/module-manifest.js';
import { readModuleManifest } from '#shared/package/read-manifest.js';

const page = readFileSync(join(import.meta.dirname, '../../../docs/modules.md'), 'utf8');

interface Schema {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
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

/** Field, values and default of every row that the page must have. */
function rowsOf(schema: Schema, above: string): [string, string, string][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const path = `${above}${name}`;
    const isRequired = schema.required?.includes(name) ?? false;
    const own: [string, string, string] = [path, valuesOf(field), defaultOf(field, isRequired)];
    if (field.type === 'object') return [own, ...rowsOf(field, `${path}.`)];
    return field.items?.type === 'object' ? [own, ...rowsOf(field.items, `${path}[].`)] : [own];
  });
}

function valuesOf(field: Schema): string {
  if (field.anyOf) return field.anyOf.map(valuesOf).join(', ');
  if (field.const !== undefined) return String(field.const);
  if (field.enum) return field.enum.map(String).join(', ');
  if (field.type === 'object') return 'section';
  if (field.type === 'boolean') return 'true, false';
  if (field.type === 'array') {
    if (field.items?.enum) return `list of ${valuesOf(field.items)}`;
    return field.minItems === undefined ? 'list' : `list, ${String(field.minItems)} to ${String(field.maxItems)}`;
  }
  if (field.type === 'string') return field.allOf ? 'path' : field.pattern ? 'name' : 'text';
  return field.maximum === undefined
    ? `from ${String(field.minimum)}`
    : `${String(field.minimum)} to ${String(field.maximum)}`;
}

function defaultOf(field: Schema, isRequired: boolean): string {
  if (isRequired) return 'required';
  // A section of fields that all have defaults works when it is left out; of another, leaving out means without.
  if (field.type === 'object') return field.required === undefined ? 'defaults' : 'none';
  return field.default === undefined ? 'none' : JSON.stringify(field.default);
}

const schema = z.toJSONSchema(moduleManifestSchema, { io: 'input' }) as Schema;
const flavors = schema.oneOf ?? schema.anyOf ?? [];

function wantedRows(): Map<string, [string, string]> {
  const wanted = new Map<string, [string, string]>();
  for (const [path, values, preset] of flavors.flatMap((flavor) => rowsOf(flavor, ''))) {
    const before = wanted.get(path);
    // The flavors differ in their own name alone.
    wanted.set(path, [path === 'flavor' && before ? `${before[0]}, ${values}` : values, preset]);
  }
  return wanted;
}

const rows = [...page.matchAll(/^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|/gm)].map(
  ([, path = '', values = '', preset = '']) => [path, [values.trim(), preset.trim()]] as const,
);

describe('the page about module.yaml', () => {
  it('has one row for every field, with its values and default, and none for others', () => {
    expect(rows.map(([path]) => path).sort()).toEqual([...new Set(rows.map(([path]) => path))].sort());
    expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(wantedRows()));
  });

  it('names what is not built yet', () => {
    for (const word of [...notYetFields, ...notYetFlavors]) expect(page).toContain(`\`${word}\``);
  });

  it('shows a module that is accepted', () => {
    const [, example = ''] = /```yaml\n([^`]+)```/.exec(page) ?? [];
    expect(readModuleManifest(example, 'the example').name).toBe('digits');
  });
});
