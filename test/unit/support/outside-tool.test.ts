import { afterEach, describe, expect, it, vi } from 'vitest';
import { findTool, hasOutsideTools, outsideTool } from '#test/support/outside-tool.js';

const nobodyHas = 'flotilla-no-such-program';

describe('a program that is no package', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('is found by its path', () => {
    expect(outsideTool('sh')).toMatch(/\/sh$/);
    expect(hasOutsideTools('sh')).toBe(true);
  });

  it('that is missing fails the test under CI', () => {
    vi.stubEnv('CI', 'true');
    expect(findTool(nobodyHas)).toBeUndefined();
    expect(() => outsideTool(nobodyHas)).toThrow(/is not installed; under CI/);
    expect(() => hasOutsideTools('sh', nobodyHas)).toThrow(/is not installed; under CI/);
  });
});
