import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError, errorCodes } from '#shared/kernel/errors.js';
import { describeFailure } from '#cloud/cli/problem-report.js';
import { problemFrom } from '#cloud/client/problem-response.js';

const body = (code: string): string => JSON.stringify({ code, message: 'what and where', requestId: 'r-1' });

describe("a server's problem", () => {
  it.each(errorCodes)('%s keeps its code', (code) => {
    expect(problemFrom(400, body(code), 'http://a')).toMatchObject({ code, message: 'what and where' });
  });
  it.each([
    [404, 'request.not-found'],
    [401, 'auth.invalid'],
    [429, 'rate.limited'],
    [418, 'request.invalid'],
    [503, 'internal'],
  ])('of a newer server with status %d is %s, its own code in the message', (status, code) => {
    expect(problemFrom(status, body('new.code'), 'http://a')).toMatchObject({
      code,
      message: 'what and where (new.code)',
    });
  });
  it('of something that is no Flotilla says so', () => {
    expect(problemFrom(404, '<html>nginx</html>', 'http://a').code).toBe('server.incompatible');
  });
  it('is always an AppError, whatever the body holds', () => {
    fc.assert(
      fc.property(fc.integer({ min: 300, max: 599 }), fc.oneof(fc.string(), fc.json()), (status, text) => {
        expect(problemFrom(status, text, 'http://a')).toBeInstanceOf(AppError);
      }),
    );
  });
});

describe('the last words of a failed command', () => {
  it('are code, message and next step', () => {
    const text = describeFailure(new AppError('model.not-found', 'there is no digits:9'), 'text');
    expect(text).toBe('error model.not-found: there is no digits:9\n  next: flotilla model list\n');
  });
  it('cannot drive the terminal', () => {
    expect(describeFailure(new AppError('internal', 'a\u001b[2Jb'), 'text')).not.toContain('\u001b');
  });
  it('name the request of an internal error', () => {
    const error = new AppError('internal', 'broke', { details: { requestId: 'r-1' } });
    expect(describeFailure(error, 'text')).toContain('request: r-1');
  });
  it('of a bug have its stack', () => {
    expect(describeFailure(new TypeError('x is undefined'), 'text')).toMatch(/TypeError: x is undefined\n\s+at /);
  });
  it.each(errorCodes)('of %s are JSON with --output json', (code) => {
    const parsed: unknown = JSON.parse(describeFailure(new AppError(code, 'why', { details: { a: 1 } }), 'json'));
    expect(parsed).toMatchObject({ error: { code, message: 'why', details: { a: 1 } } });
  });
});
