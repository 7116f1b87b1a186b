import { describe, expect, it } from 'vitest';
import { AppError, errorCodes, errorRegistry, isErrorCode, messageOf, toProblem } from '#shared/kernel/errors.js';
import { problemSchema } from '#shared/protocol/primitives.js';

describe('the registry of errors', () => {
  it.each(errorCodes)('has sound traits for %s', (code) => {
    const { status, retry, exit } = errorRegistry[code];
    expect(code).toMatch(/^[a-z]+(\.[a-z]+(-[a-z]+)*)?$/);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThanOrEqual(599);
    expect(['never', 'later', 'changed']).toContain(retry);
    // 0 is success; 126 and above are the shell's own.
    expect(exit).toBeGreaterThanOrEqual(1);
    expect(exit).toBeLessThanOrEqual(125);
    expect(isErrorCode(code)).toBe(true);
  });

  it('exits alike for a kind of failure', () => {
    for (const code of errorCodes) {
      const { status, exit } = errorRegistry[code];
      if (status === 401 || status === 403) expect(exit, code).toBe(3);
      if (status === 404) expect(exit, code).toBe(4);
      if (status === 503 || status === 504 || status === 429) expect(exit, code).toBe(6);
    }
  });

  it('tells to come back later where the status says so', () => {
    for (const code of errorCodes) {
      const { status, retry } = errorRegistry[code];
      if (status === 503 || status === 504 || status === 429) expect(retry, code).toBe('later');
      if (status === 401 || status === 403 || status === 415) expect(retry, code).toBe('never');
    }
  });

  it.each(['toString', 'constructor', '__proto__', ''])('does not know %j', (text) => {
    expect(isErrorCode(text)).toBe(false);
  });
});

describe('an operational failure', () => {
  const cause = new Error('ENOSPC');
  const error = new AppError('disk.full', 'no space in /var/lib', { details: { path: '/var/lib' }, cause });

  it('becomes a problem with its code, message and details, without its cause', () => {
    const problem = toProblem(error);
    expect(problem).toEqual({ code: 'disk.full', message: 'no space in /var/lib', details: { path: '/var/lib' } });
    expect(problemSchema.safeParse(problem).success).toBe(true);
  });

  it('keeps its cause and its traits for the log', () => {
    expect(error.cause).toBe(cause);
    expect(error.traits).toEqual({ status: 507, retry: 'changed', exit: 7 });
  });

  it('has no details where none were given', () => {
    expect(toProblem(new AppError('internal', 'x'))).toEqual({ code: 'internal', message: 'x' });
  });
});

it('a bug becomes a problem that says nothing of its inside', () => {
  const problem = toProblem(new TypeError('secret is undefined'));
  expect(problem.code).toBe('internal');
  expect(problem.message).not.toContain('secret');
});

it('something without text still has a message', () => {
  expect(messageOf(Object.create(null))).not.toBe('');
});
