import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { repository } from '../support/scoring-harness.js';
import { temporaryFolder } from '../support/temporary-folder.js';

interface Row {
  readonly provider: string;
  readonly outcome: string;
  readonly difference?: number;
  readonly reason?: string;
}

describe('the bundled agent, asked for execution providers', () => {
  const folder = temporaryFolder();
  const agent = async (...words: string[]): Promise<{ code: number; stdout: string; stderr: string }> => {
    const args = [join(repository, 'dist/agent-bundle/flotilla-agent.js'), '--state-dir', folder('state'), ...words];
    try {
      return { code: 0, ...(await promisify(execFile)(process.execPath, args)) };
    } catch (error) {
      return error as { code: number; stdout: string; stderr: string };
    }
  };

  it('runs a model on the CPU, and on each other provider or says why not', async () => {
    const { code, stdout } = await agent('providers', 'check', '--output', 'json');
    const answer = JSON.parse(stdout) as { readonly passed: boolean; readonly providers: readonly Row[] };
    expect(answer.providers.map(({ provider }) => provider)).toEqual([
      'cpu',
      'webgpu',
      'cuda',
      'tensorrt',
      'coreml',
      'dml',
    ]);
    expect(answer.providers[0]).toMatchObject({ outcome: 'works', difference: 0 });
    for (const { outcome, reason } of answer.providers) {
      if (outcome !== 'works') expect(reason).toMatch(/\w{3,}/);
    }
    expect(code).toBe(answer.passed ? 0 : 1);
  });

  it('fails when one that is named is on other platforms only', async () => {
    const other = process.platform === 'darwin' ? 'dml' : 'coreml';
    const { code, stderr, stdout } = await agent('providers', 'check', other);
    expect(code).toBe(1);
    expect(stdout).toContain(`${other}: onnxruntime has it on`);
    expect(stderr).toContain(`${other} (unavailable)`);
  });

  it('installs nothing from a file of another digest, and lists nothing as installed', async () => {
    await writeFile(folder('x.nupkg'), 'x');
    const wrong = createHash('sha256').update('y').digest('hex');
    const { code, stderr } = await agent(
      'providers',
      'install',
      'cuda',
      '--from',
      folder('x.nupkg'),
      '--sha256',
      wrong,
    );
    // What the platform has no such libraries for is refused before.
    expect(stderr).toMatch(process.platform === 'linux' && process.arch === 'x64' ? /nothing was installed/ : /only/);
    expect(code).not.toBe(0);
    expect((await agent('providers', 'list')).stdout).not.toMatch(/installed 20/);
  });

  it('names the nearest of a mistyped command', async () => {
    expect(await agent('providers', 'chekc')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('did you mean check?') as string,
    });
  });
});
