import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkProviders } from '#agent/providers/check-providers.js';
import type { ProviderName } from '#agent/providers/platform-providers.js';
import { repository } from '../../support/scoring-harness.js';
import { temporaryFolder } from '../../support/temporary-folder.js';

describe('trying providers in processes of their own', () => {
  const folder = temporaryFolder();
  const entry = async (name: string, code: string): Promise<string> => {
    await writeFile(folder(`${name}.mjs`), code);
    return folder(`${name}.mjs`);
  };
  const check = async (path: string, providers: readonly ProviderName[] = ['webgpu'], deadlineMs = 60_000) =>
    checkProviders(providers, { entry: path, environment: {}, platform: 'linux-x64', deadlineMs }, () => undefined);

  it('finds that the CPU works, with its nodes and its time', async () => {
    const path = join(repository, 'dist/shared/scoring/provider-check/main.js');
    expect(await check(path, ['cpu'])).toMatchObject([
      { provider: 'cpu', available: true, outcome: 'works', difference: 0, timesCpu: expect.any(Number) as number },
    ]);
  });

  it('makes a native crash a row, with the last words, and goes on', async () => {
    const path = await entry('crash', `console.error('driver: out of luck'); process.abort();`);
    expect(await check(path, ['webgpu', 'coreml', 'cuda'])).toMatchObject([
      { provider: 'webgpu', outcome: 'crashed', reason: 'SIGABRT: driver: out of luck' },
      { provider: 'coreml', outcome: 'unavailable' },
      { provider: 'cuda', outcome: 'crashed', reason: expect.stringContaining('SIGABRT') as string },
    ]);
  });

  it('makes a hang a row once its time is over, and ends the process', async () => {
    const path = await entry('hang', `process.on('SIGTERM', () => {}); while (true);`);
    expect(await check(path, ['webgpu'], 500)).toMatchObject([{ outcome: 'hung', reason: 'no answer within 0.5 s' }]);
  });

  it('makes wrong numbers a row that is no success', async () => {
    const path = await entry(
      'wrong',
      `process.send({ type: 'ran', difference: 0.3, runMs: 1, cpuMs: 2, nodes: { [process.argv[2]]: 4 } }, () => process.exit());`,
    );
    expect(await check(path)).toMatchObject([{ provider: 'webgpu', outcome: 'wrong', difference: 0.3, timesCpu: 0.5 }]);
  });

  it('gives the process the environment of scoring hosts and nothing else', async () => {
    const path = await entry(
      'environment',
      `process.send({ type: 'refused', reason: Object.keys(process.env).sort().join(' ') }, () => process.exit());`,
    );
    const environment = { LD_LIBRARY_PATH: '/somewhere' };
    const [row] = await checkProviders(
      ['webgpu'],
      { entry: path, environment, platform: 'linux-x64', deadlineMs: 60_000 },
      () => undefined,
    );
    expect(row?.reason?.split(' ')).toEqual(expect.arrayContaining(['LD_LIBRARY_PATH', 'ORT_DISABLE_TELEMETRY']));
    expect(row?.reason).not.toMatch(/HOME|FLOTILLA/);
  });
});
