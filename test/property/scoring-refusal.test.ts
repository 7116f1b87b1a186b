/** Whatever stands where a web service is asked may answer anything. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { refusalOf, waitIn } from '#cloud/client/scoring-refusal.js';

const now = Date.UTC(2026, 0, 1);

it('any answer that is no success is an error of a known code, with its status', () => {
  const header = fc.option(fc.string(), { nil: undefined });
  fc.assert(
    fc.property(
      fc.integer({ min: 300, max: 999 }),
      fc.oneof(fc.string(), fc.json()),
      header,
      header,
      (status, text, after, reason) => {
        const headers = { 'retry-after': after, 'ms-azureml-model-error-reason': reason };
        const { details, message } = refusalOf(status, text, headers, now);
        expect(details['status']).toBe(status);
        expect(message).toContain(String(status));
        if (status !== 429 && status !== 503) expect(details['retryAfterMs']).toBeUndefined();
      },
    ),
    { numRuns: 200 },
  );
});

it('a wait is as many seconds as are said, or until the date, and never before now', () => {
  fc.assert(
    fc.property(fc.nat({ max: 999_999 }), fc.string(), (seconds, text) => {
      expect(waitIn(String(seconds), now)).toBe(seconds * 1000);
      expect(waitIn(new Date(now + seconds * 1000).toUTCString(), now)).toBe(seconds * 1000);
      expect(waitIn(new Date(now - seconds * 1000).toUTCString(), now)).toBe(0);
      expect(waitIn(text, now) ?? 0).toBeGreaterThanOrEqual(0);
    }),
    { numRuns: 50 },
  );
});
