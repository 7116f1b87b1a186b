import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ChainEnds, type ChainFault, ChainWalk, nextRow } from '#cloud/audit/audit-chain.js';
import type { AuditEvent, AuditRow } from '#cloud/audit/audit-entry.js';

const event: fc.Arbitrary<AuditEvent> = fc.record({
  workspace: fc.option(fc.string(), { nil: null }),
  actor: fc.record({ kind: fc.constantFrom('token' as const, 'device' as const), id: fc.string() }),
  from: fc.option(fc.ipV4(), { nil: undefined }),
  action: fc.string(),
  target: fc.string(),
  details: fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null))),
  outcome: fc.constantFrom('done' as const, 'refused' as const, 'failed' as const),
});
const events = fc.array(event, { minLength: 2, maxLength: 12 });

function written(from: readonly AuditEvent[]): { rows: AuditRow[]; ends: ChainEnds } {
  const anchor = { sequence: 0, hash: '' };
  const rows: AuditRow[] = [];
  for (const one of from) rows.push(nextRow(rows.at(-1) ?? anchor, one, '2026-01-01T00:00:00.000Z'));
  return { rows, ends: { anchor, head: rows.at(-1) ?? anchor } };
}

function verify(rows: readonly AuditRow[], ends: ChainEnds): ChainFault | undefined {
  const walk = new ChainWalk(ends);
  for (const row of rows) {
    const fault = walk.step(row);
    if (fault) return fault;
  }
  return walk.end();
}

const place = fc.nat(1000);
const at = (index: number, rows: readonly AuditRow[]): number => index % rows.length;

describe('the chain of the audit log', () => {
  it('holds as it was written, and from every later anchor', () => {
    fc.assert(
      fc.property(events, place, (from, index) => {
        const { rows, ends } = written(from);
        expect(verify(rows, ends)).toBeUndefined();
        const cut = at(index, rows);
        const anchor = rows[cut - 1] ?? ends.anchor;
        expect(verify(rows.slice(cut), { ...ends, anchor })).toBeUndefined();
      }),
    );
  });

  it('breaks at the row of which any one column says something else', () => {
    const columns = Object.keys(written([fc.sample(event, 1)[0] as AuditEvent]).rows[0] ?? {}) as (keyof AuditRow)[];
    fc.assert(
      fc.property(events, place, fc.constantFrom(...columns), (from, index, column) => {
        const { rows, ends } = written(from);
        const changed = at(index, rows);
        const row = rows[changed] as AuditRow;
        const value = row[column];
        const other = typeof value === 'number' ? value + 1 : value === null ? '' : `${value}x`;
        const fault = verify(
          rows.map((one) => (one === row ? { ...row, [column]: other } : one)),
          ends,
        );
        expect(fault?.sequence).toBe(row.sequence);
      }),
    );
  });

  it('breaks where a row was taken out, put in twice, or moved', () => {
    fc.assert(
      fc.property(events, place, (from, index) => {
        const { rows, ends } = written(from);
        const here = at(index, rows);
        const row = rows[here] as AuditRow;
        expect(verify(rows.toSpliced(here, 1), ends)?.sequence).toBe(row.sequence);
        expect(verify(rows.toSpliced(here, 0, row), ends)).toBeDefined();
        const swapped = rows.toSpliced(here, 1).toSpliced((here + 1) % rows.length, 0, row);
        expect(verify(swapped, ends)).toBeDefined();
      }),
    );
  });

  it('breaks where a row was changed and its own hash made anew', () => {
    fc.assert(
      fc.property(events, place, (from, index) => {
        const { rows, ends } = written(from);
        const here = at(index, rows);
        const before = rows[here - 1] ?? ends.anchor;
        const forged = nextRow(
          before,
          { ...(from[here] as AuditEvent), target: `not ${rows[here]?.target ?? ''}` },
          '',
        );
        expect(verify(rows.with(here, forged), ends)).toBeDefined();
      }),
    );
  });
});
