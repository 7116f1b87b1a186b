import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { maintenanceWindowSchema, windowsAt } from '#shared/protocol/maintenance-window.js';

const hourMs = 3_600_000;
const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'Pacific/Apia'];
const anyZone = fc.constantFrom(...zones);
/** Any, and not only by luck those around a change of clocks. */
const changes = ['2025-10-26T00:00Z', '2026-03-29T00:00Z', '2026-11-01T05:00Z', '2026-04-04T14:00Z'].map(Date.parse);
const anyInstant = fc.oneof(
  fc.tuple(fc.constantFrom(...changes), fc.integer({ min: -240, max: 240 })).map(([at, by]) => at + by * 60_000),
  fc.integer({ min: Date.parse('2025-01-01'), max: Date.parse('2027-12-31') }),
);
const daily = fc.record({ hour: fc.nat(23), minute: fc.nat(59), minutes: fc.integer({ min: 1, max: 600 }) });
const windowOf = ({ hour, minute, minutes }: { hour: number; minute: number; minutes: number }) =>
  maintenanceWindowSchema.parse({ cron: `${String(minute)} ${String(hour)} * * *`, durationSeconds: minutes * 60 });
const localTime = (zone: string, at: number): string =>
  new Intl.DateTimeFormat('en-GB', { timeZone: zone, hour: '2-digit', minute: '2-digit' }).format(at);

describe('a window that opens each day', () => {
  it('opens once a day at its local time, and an hour beside it at most on the days that clocks change', () => {
    fc.assert(
      fc.property(daily, anyZone, anyInstant, (day, zone, at) => {
        const window = windowOf(day);
        const state = windowsAt([window], zone, at);
        const opening = state.open ? state.since : state.opensAt;
        if (state.open) expect(at - opening).toBeLessThan(window.durationSeconds * 1000);
        else expect(opening - at).toBeLessThanOrEqual(25 * hourMs);
        const said = `${String(day.hour).padStart(2, '0')}:${String(day.minute).padStart(2, '0')}`;
        // At the moment before it opens it is closed, in it it is open, and as it ends it is closed again.
        expect(windowsAt([window], zone, opening - 1).open).toBe(false);
        expect(windowsAt([window], zone, opening)).toEqual({ open: true, since: opening });
        const end = opening + window.durationSeconds * 1000;
        expect(windowsAt([window], zone, end - 1)).toEqual({ open: true, since: opening });
        expect(windowsAt([window], zone, end).open).toBe(false);
        // A time that the clocks skip is not skipped: it opens after the gap.
        if (localTime(zone, opening) !== said) expect(localTime(zone, opening - 2 * hourMs)).not.toBe(said);
      }),
      {
        numRuns: 60,
        examples: [[{ hour: 2, minute: 1, minutes: 1 }, 'Europe/Berlin', Date.parse('2026-03-29T00:00Z')]],
      },
    );
  });

  it('opens on days without that hour, and once on days that have it twice', () => {
    const window = windowOf({ hour: 2, minute: 30, minutes: 30 });
    const openings = (from: string): string[] => {
      const found: string[] = [];
      for (let at = Date.parse(from); found.length < 3; ) {
        const state = windowsAt([window], 'Europe/Berlin', at);
        const opening = state.open ? state.since : state.opensAt;
        found.push(new Date(opening).toISOString());
        at = opening + window.durationSeconds * 1000;
      }
      return found;
    };
    expect(openings('2026-03-28T00:00Z')).toEqual([
      '2026-03-28T01:30:00.000Z',
      '2026-03-29T01:30:00.000Z',
      '2026-03-30T00:30:00.000Z',
    ]);
    expect(openings('2026-10-24T00:00Z')).toEqual([
      '2026-10-24T00:30:00.000Z',
      '2026-10-25T00:30:00.000Z',
      '2026-10-26T01:30:00.000Z',
    ]);
  });
});

describe('windows', () => {
  it('that follow each other without a gap are one; of several the one that is open counts', () => {
    const at = (text: string) => windowsAt(windows, 'UTC', Date.parse(text));
    const windows = ['0 1 * * *', '0 2 * * *', '30 12 * * *'].map((cron) =>
      maintenanceWindowSchema.parse({ cron, durationSeconds: 3600 }),
    );
    expect(at('2026-05-05T02:59:59Z')).toEqual({ open: true, since: Date.parse('2026-05-05T01:00Z') });
    expect(at('2026-05-05T03:00:00Z')).toEqual({ open: false, opensAt: Date.parse('2026-05-05T12:30Z') });
  });

  it('go by their own zone where they name one, and by UTC where the device names one that nobody knows', () => {
    const plain = maintenanceWindowSchema.parse({ cron: '0 2 * * *', durationSeconds: 60 });
    const at = Date.parse('2026-05-05T00:00:00Z');
    expect(windowsAt([plain], 'Europe/Berlin', at).open).toBe(true);
    expect(windowsAt([{ ...plain, timeZone: 'UTC' }], 'Europe/Berlin', at).open).toBe(false);
    expect(windowsAt([plain], 'No/Where', at)).toEqual(windowsAt([plain], 'UTC', at));
  });

  it.each(['', '@daily', '* * * *', '* * * * * *', '61 * * * *', '0 0 30 2 *', '2026-01-01T00:00:00', '*/0 * * * *'])(
    'are refused with the expression %j',
    (cron) => {
      expect(maintenanceWindowSchema.safeParse({ cron, durationSeconds: 60 }).success).toBe(false);
    },
  );

  it('are refused or can be asked, whatever is written', () => {
    const field = fc.oneof(
      fc.constantFrom('*', '*/7', '1-5', '0', 'mon', 'L', '5#2', '?', '0,59', '31', '15W', '1-70'),
      fc.string({ maxLength: 6 }),
    );
    fc.assert(
      fc.property(fc.array(field, { minLength: 4, maxLength: 6 }), anyZone, anyInstant, (fields, zone, at) => {
        const parsed = maintenanceWindowSchema.safeParse({ cron: fields.join(' '), durationSeconds: 60 });
        if (!parsed.success) return;
        const state = windowsAt([parsed.data], zone, at);
        if (state.open) expect(state.since).toBeLessThanOrEqual(at);
        else expect(state.opensAt).toBeGreaterThan(at);
      }),
      { numRuns: 150 },
    );
  });
});
