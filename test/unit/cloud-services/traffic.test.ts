import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { checkTraffic, requireIdle } from '#cloud/services/control/traffic.js';
import type { Mirror, Traffic } from '#cloud/services/control/endpoint-model.js';

const names = ['blue', 'green'];
const check = (traffic: Traffic, mirror?: Mirror): Traffic => checkTraffic('fraud', names, traffic, mirror);

function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof AppError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'taken';
}

describe('traffic of an endpoint', () => {
  it('adds up to 100, or to nothing, and forgets who gets none', () => {
    expect(check({ green: 10, blue: 90 })).toEqual({ blue: 90, green: 10 });
    expect(check({ blue: 0, green: 100 })).toEqual({ green: 100 });
    expect(check({ blue: 0 })).toEqual({});
    expect(refusal(() => check({ blue: 60, green: 30 }))).toContain(
      'endpoint.invalid: the traffic of fraud adds up to 90',
    );
  });

  it('names deployments that are there', () => {
    expect(refusal(() => check({ bleu: 100 }))).toContain(
      'deployment.not-found: fraud has no deployment bleu: did you mean blue?',
    );
  });

  it('is copied to one that answers none, at most to the half', () => {
    expect(check({ blue: 100 }, { deployment: 'green', percent: 50 })).toEqual({ blue: 100 });
    expect(refusal(() => check({ blue: 90, green: 10 }, { deployment: 'green', percent: 20 }))).toContain(
      'answers 10 percent',
    );
    expect(refusal(() => check({ blue: 100 }, { deployment: 'green', percent: 51 }))).toContain('1 to 50 percent');
    expect(refusal(() => check({ blue: 100 }, { deployment: 'red', percent: 5 }))).toContain('deployment.not-found');
  });

  it('and copies both keep a deployment from being deleted', () => {
    const mirror = { deployment: 'green', percent: 20 };
    expect(refusal(() => requireIdle('fraud', 'blue', { blue: 100 }, mirror))).toContain('deployment.in-use');
    expect(refusal(() => requireIdle('fraud', 'green', { blue: 100 }, mirror))).toContain('--mirror none');
    expect(refusal(() => requireIdle('fraud', 'green', { blue: 100 }, undefined))).toBe('taken');
  });
});
