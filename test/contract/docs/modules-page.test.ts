import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { describe, expect, it } from 'vitest';
import { moduleManifestSchema, notYetFields, notYetFlavors } from '#shared/package/module-manifest.js';
import { readModuleManifest } from '#shared/package/read-manifest.js';
import { rowsOf, rowsOn, type Schema } from '../../support/schema-rows.js';

const page = readFileSync(join(import.meta.dirname, '../../../docs/modules.md'), 'utf8');

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

const { fields, rows } = rowsOn(page);

describe('the page about module.yaml', () => {
  it('has one row for every field, with its values and default, and none for others', () => {
    expect([...fields].sort()).toEqual([...new Set(fields)].sort());
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
