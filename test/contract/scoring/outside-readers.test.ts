/** What a host says about itself, read by the programs that it is for: OpenAPI by schemathesis, metrics by promtool. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { identityModel } from '#test/support/onnx-writer.js';
import { outsidePython, outsideTool } from '#test/support/outside-tool.js';
import { hostedModule, post, repository, Scoring } from '#test/support/scoring-harness.js';

const scoring = new Scoring();
afterAll(() => scoring.end());

let url = '';
let pid = 0;
let alive: () => Promise<number>;
beforeAll(async () => {
  const folder = await scoring.folder();
  await writeFile(join(folder, 'floats.onnx'), identityModel(1, ['rows', 2]));
  await writeFile(join(folder, 'texts.onnx'), identityModel(8, ['rows']));
  const modules = ['floats', 'texts'].map((name) => hostedModule(folder, `${name}.onnx`, { name }));
  const served = await scoring.serve(modules, { controlToken: 'of-the-test' });
  url = served.url;
  pid = served.host.pid;
  alive = async () => {
    await served.host.stats();
    return served.host.pid;
  };
});

describe('the OpenAPI document of a host', () => {
  it('describes what the host answers, as schemathesis finds out', { timeout: 180_000 }, async () => {
    const program = outsidePython('schemathesis');
    const config = join(repository, 'test/contract/scoring/schemathesis.toml');
    const args = ['--config-file', config, 'run', `${url}/openapi.json`, '--seed', '7', '--max-examples', '12'];
    const options = {
      cwd: await scoring.folder(),
      env: { PATH: process.env['PATH'], PYTHONUTF8: '1' },
      maxBuffer: 1e8,
    };
    const said = await promisify(execFile)(program, args, options).then(
      () => '',
      (error: unknown) => (error as { stdout: string }).stdout,
    );
    expect(said).toBe('');
    expect(await alive()).toBe(pid);
  });
});

describe('the metrics of a host', () => {
  it('are as promtool wants them, after successes and failures', async () => {
    const promtool = outsideTool('promtool');
    const inputs = [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [1, 2] }];
    expect((await post(`${url}/v2/models/floats/infer`, { inputs })).status).toBe(200);
    expect((await post(`${url}/v2/models/floats/infer`, { inputs: [] })).status).toBe(400);
    const response = await fetch(`${url}/metrics`);
    expect(response.status).toBe(200);
    const metrics = await response.text();
    expect(metrics).toContain('nv_inference_request_success');
    const checking = spawn(promtool, ['check', 'metrics'], { stdio: ['pipe', 'pipe', 'pipe'] });
    const said: Buffer[] = [];
    for (const stream of [checking.stdout, checking.stderr]) stream.on('data', (chunk: Buffer) => said.push(chunk));
    checking.stdin.end(metrics);
    const [code] = (await once(checking, 'close')) as [number];
    // Triton's names break the rules for names, and are what its users' dashboards ask for.
    const complaints = Buffer.concat(said)
      .toString()
      .trim()
      .split('\n')
      .filter((line) => !line.startsWith('nv_'));
    expect(complaints).toEqual([]);
    // 3: it has complaints; what it cannot read at all is 1.
    expect([0, 3]).toContain(code);
  });
});
