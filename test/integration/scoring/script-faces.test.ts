import { existsSync } from 'node:fs';
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { defaultScoringOptions } from '#shared/package/scoring-options.js';
import type { HostedModule } from '#shared/scoring/host-protocol.js';
import type { ScoringHostProcess } from '#shared/supervisor/scoring-host-process.js';
import { answered, digitsFolder, hostedModule, post, Scoring } from '#test/support/scoring-harness.js';

const scoring = new Scoring();
afterEach(() => scoring.end());

const json = { method: 'POST', headers: { 'content-type': 'application/json' } };

const source = `
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export async function run(input, context) {
  const { request, folder } = context;
  if (input.about) return { method: request.method, header: request.headers['x-mine'], hidden: Object.keys(request.headers).filter((name) => name.startsWith('flotilla-method')), input };
  if (input.hang) { request.signal.addEventListener('abort', () => writeFileSync(join(folder, 'aborted'), '')); await sleep(60_000); }
  if (input.stream) return events(input, folder);
  return input;
}
async function* events({ stream, failAt, pauseMs = 0 }, folder) {
  try {
    for (let n = 0; n < stream; n++) {
      if (n === failAt) throw new Error('broke at ' + n);
      yield { n, text: 'line\\nbreak' };
      await sleep(pauseMs);
    }
  } finally {
    writeFileSync(join(folder, 'ended'), '');
  }
}
`;

interface Started {
  readonly url: string;
  readonly port: number;
  readonly host: ScoringHostProcess;
  readonly folder: string;
}

async function start(timeoutMs = 3_600_000): Promise<Started> {
  const folder = await scoring.folder();
  await copyFile(join(digitsFolder, 'model.onnx'), join(folder, 'model.onnx'));
  await writeFile(join(folder, 'score.mjs'), source);
  const sockets = { socket: join(folder, 's.sock'), modelsSocket: join(folder, 'm.sock') };
  const module: HostedModule = hostedModule(folder, 'model.onnx', {
    name: 'words',
    scriptSocket: sockets.socket,
    modelsSocket: sockets.modelsSocket,
    scoring: { ...defaultScoringOptions, script: { ...defaultScoringOptions.script, timeoutMs } },
  });
  const { url, port, host } = await scoring.serve([module]);
  const { name, version, digest } = module;
  const script = {
    name,
    version,
    digest,
    folder,
    entry: 'score.mjs',
    models: ['model'],
    settings: {},
    maxBodyBytes: 100_000,
  };
  const started = await scoring.spawnScript().start({ ...script, modelsSocket: sockets.modelsSocket }, sockets.socket);
  if (!started.ok) throw new Error(started.error.message);
  return { url, port, host, folder };
}

async function appears(folder: string, name: string): Promise<void> {
  while (!existsSync(join(folder, name))) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('a script on the other faces', () => {
  it('gets a query as its input, the method and the headers of the request', async () => {
    const { url } = await start();
    const answer = await answered(await fetch(`${url}/score?about=true&n=1&n=two`, { headers: { 'x-mine': 'yes' } }));
    expect(answer.json).toEqual({ method: 'GET', header: 'yes', hidden: [], input: { about: true, n: [1, 'two'] } });
    expect(answer.headers.get('x-ms-run-fn-exec-ms')).toMatch(/^\d+\.\d{3}$/);
    expect((await post(`${url}/score`, { about: true })).json).toMatchObject({ method: 'POST' });
  });

  it('answers V1 with what it returns, and fails there in the words of V1', async () => {
    const { url } = await start();
    expect((await post(`${url}/v1/models/words:predict`, { instances: [1] })).json).toEqual({ instances: [1] });
    const failed = await post(`${url}/v1/models/words:predict`, 'null');
    expect([failed.status, Object.keys(failed.json as object)]).toEqual([500, ['error']]);
  });

  it('says in a header that it failed', async () => {
    const { url } = await start();
    const failed = await post(`${url}/score`, 'null');
    expect([failed.status, failed.headers.get('x-ms-run-function-failed')]).toEqual([500, 'True']);
    expect((await post(`${url}/score`, {})).headers.get('x-ms-run-function-failed')).toBe('False');
  });

  it('is given up after its time, as Azure ML does, and told', async () => {
    const { url, folder, host } = await start(200);
    const answer = await post(`${url}/score`, { hang: true });
    expect([answer.status, answer.json]).toEqual([500, { message: 'Scoring timeout after 200 ms' }]);
    expect(answer.headers.get('x-ms-run-function-failed')).toBe('True');
    await appears(folder, 'aborted');
    expect((await host.stats()).modules.find(({ name }) => name === 'words')?.errors).toEqual({ 'score.timeout': 1 });
  });

  it('is given up at the time that the client named', async () => {
    const { url } = await start();
    const headers = { 'flotilla-timeout-ms': '100' };
    expect((await post(`${url}/score`, { hang: true }, headers)).status).toBe(504);
    expect((await post(`${url}/v1/models/words:predict`, { hang: true }, headers)).status).toBe(504);
  });
});

describe('a script that streams', () => {
  it('sends each value as an event', async () => {
    const { url, host } = await start();
    const response = await fetch(`${url}/score`, { ...json, body: '{"stream":2}' });
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const data = (n: number): string => `data: {"n":${String(n)},"text":"line\\nbreak"}\n\n`;
    expect(await response.text()).toBe(data(0) + data(1));
    expect((await host.stats()).modules.find(({ name }) => name === 'words')).toMatchObject({
      requests: 1,
      errors: {},
    });
  });

  it('sends an event when it is there, not when the stream is over', async () => {
    const { url } = await start();
    const response = await fetch(`${url}/score`, { ...json, body: '{"stream":2,"pauseMs":60000}' });
    for await (const chunk of response.body as ReadableStream<Uint8Array>) {
      expect(new TextDecoder().decode(chunk)).toContain('"n":0');
      break;
    }
  });

  it('stops when the client leaves', async () => {
    const { url, folder } = await start();
    const leaving = new AbortController();
    const body = '{"stream":1000000,"pauseMs":5}';
    const response = await fetch(`${url}/score`, { ...json, body, signal: leaving.signal });
    await response.body?.getReader().read();
    leaving.abort();
    await appears(folder, 'ended');
  });

  it('tells an error midway as an event, and counts it', async () => {
    const { url, host } = await start();
    const response = await fetch(`${url}/score`, { ...json, body: '{"stream":3,"failAt":1}' });
    expect(response.status).toBe(200);
    expect(await response.text()).toMatch(/^data: .*\n\nevent: error\ndata: {"message":"broke at 1"}\n\n$/);
    expect((await host.stats()).modules.find(({ name }) => name === 'words')).toMatchObject({
      requests: 1,
      errors: { 'score.failed': 1 },
    });
  });

  it('has a status of its own for an error before the first event', async () => {
    const { url } = await start();
    const answer = await post(`${url}/score`, { stream: 3, failAt: 0 });
    expect([answer.status, answer.json]).toEqual([500, { message: 'broke at 0' }]);
  });
});
