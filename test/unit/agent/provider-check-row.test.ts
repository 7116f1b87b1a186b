import { describe, expect, it } from 'vitest';
import { checkPasses, type CheckRow, notHereRow, rowOf } from '#agent/providers/check-row.js';
import type { ProviderFinding } from '#shared/scoring/provider-check/check-protocol.js';

const found = (finding: ProviderFinding, lastLines: string[] = []) => ({ kind: 'found', finding, lastLines }) as const;
const ran = (difference: number, nodes?: Record<string, number>) =>
  found({ type: 'ran', difference, runMs: 2, cpuMs: 8, ...(nodes === undefined ? {} : { nodes }) });

describe('a provider that was tried', () => {
  it("works when its answer is the CPU's but for rounding, and is measured against it", () => {
    expect(rowOf('webgpu', 'bundled', ran(1e-4, { webgpu: 5, cpu: 1 }))).toEqual({
      provider: 'webgpu',
      available: true,
      outcome: 'works',
      difference: 1e-4,
      runMs: 2,
      timesCpu: 0.25,
      nodes: { webgpu: 5, cpu: 1 },
    });
  });

  it.each([0.5, Number.POSITIVE_INFINITY, Number.NaN])('is wrong when its answer is %d away', (difference) => {
    expect(rowOf('cuda', 'to-install', ran(difference, { cuda: 6 }))).toMatchObject({ outcome: 'wrong' });
  });

  it('is unavailable when it loads the model and leaves all of it to the CPU', () => {
    expect(rowOf('webgpu', 'bundled', ran(0, { cpu: 6 }))).toMatchObject({
      outcome: 'unavailable',
      reason: 'it loads the model and runs none of its nodes: all 6 ran on cpu',
    });
  });

  it('whose libraries were not installed has the step that does it as its remedy', () => {
    const line =
      '[E:onnxruntime] Failed to load library /opt/x/libonnxruntime_providers_shared.so with error: /opt/x/libonnxruntime_providers_shared.so: cannot open shared object file: No such file or directory';
    expect(rowOf('cuda', 'to-install', found({ type: 'refused', reason: 'Failed' }, [line]))).toMatchObject({
      available: false,
      outcome: 'unavailable',
      reason: 'libonnxruntime_providers_shared.so: cannot open shared object file: No such file or directory',
      remedy: expect.stringContaining('flotilla-agent providers install cuda') as string,
    });
  });

  it('whose library lacks one of another vendor names that one', () => {
    const line =
      'Failed to load library /state/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file: No such file or directory';
    expect(rowOf('cuda', 'to-install', found({ type: 'refused', reason: 'Failed' }, [line, 'x']))).toMatchObject({
      reason:
        'libonnxruntime_providers_cuda.so needs libcublasLt.so.13: cannot open shared object file: No such file or directory',
      remedy: expect.stringMatching(/LD_LIBRARY_PATH.*NVIDIA/) as string,
    });
  });

  it('that is on other platforms only says on which', () => {
    expect(notHereRow('coreml', 'linux-x64')).toMatchObject({
      outcome: 'unavailable',
      reason: 'onnxruntime has it on darwin-arm64; this is linux-x64',
    });
  });
});

describe('a check of providers', () => {
  const row = (provider: CheckRow['provider'], outcome: CheckRow['outcome']): CheckRow => ({
    provider,
    available: outcome !== 'unavailable',
    outcome,
  });

  it.each([
    [[row('cpu', 'works'), row('webgpu', 'unavailable')], [], true],
    [[row('cpu', 'works'), row('webgpu', 'unavailable')], ['webgpu'], false],
    [[row('cpu', 'unavailable')], [], false],
    [[row('cpu', 'works'), row('webgpu', 'wrong')], [], false],
    [[row('cpu', 'works'), row('cuda', 'crashed')], [], false],
    [[row('cpu', 'works'), row('cuda', 'hung')], [], false],
  ])('passes without a fault, and with all that was named: %j named %j', (rows, asked, passes) => {
    expect(checkPasses(rows, asked)).toBe(passes);
  });
});
