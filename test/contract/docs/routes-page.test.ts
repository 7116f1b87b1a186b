import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { describe, expect, it } from 'vitest';
import { routeSchema } from '#shared/protocol/route.js';
import { rowsOf, rowsOn, type Schema } from '../../support/schema-rows.js';

const page = readFileSync(join(import.meta.dirname, '../../../docs/routes.md'), 'utf8');

describe('the page about routes', () => {
  it('has one row for every field of a route, with its values and default, and none for others', () => {
    const wanted = rowsOf(z.toJSONSchema(routeSchema, { io: 'input' }) as Schema, '');
    const { fields, rows } = rowsOn(page);
    expect([...fields].sort()).toEqual([...new Set(fields)].sort());
    expect(Object.fromEntries(rows)).toEqual(
      Object.fromEntries(wanted.map(([path, values, preset]) => [path, [values, preset]])),
    );
  });
});
