/**
 * The same requests to Azure ML's own inference server and to a scoring host that serves the same script:
 * status, headers and body. Where the answers differ, `azure-differences.ts` says why; the test prints both
 * (with `FLOTILLA_SHOW_TABLE=1`), and fails for a difference that is not there, or no longer one.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { identityModel } from '#test/support/onnx-writer.js';
import { ownPort } from '#test/support/own-port.js';
import { hasOutsidePython, outsidePython } from '#test/support/outside-tool.js';
import { answered, hostedModule, repository, Scoring } from '#test/support/scoring-harness.js';
import { serveScript } from '#test/support/script-module.js';
import { differences, type Field } from './azure-differences.js';
import { type AzureRequest, modelRequests, scriptRequests } from './azure-requests.js';

const azureScript = `
export const run = async (given) => {
  if (given !== null && typeof given === 'object') {
    if ('fail' in given) throw new Error('asked to fail');
    if ('refuse' in given) throw Object.assign(new Error('no such thing'), { statusCode: 422 });
    if ('nothing' in given) return undefined;
    if ('text' in given) return 'a text';
  }
  return { given };
};
`;

/** Held against each other as they are; of the others only whether they are there. */
const comparedHeaders = ['x-request-id', 'x-ms-request-id', 'x-ms-client-request-id'] as const;
const comparedPresence = ['x-ms-run-function-failed', 'x-ms-run-fn-exec-ms', 'traceid', 'allow'] as const;

const scoring = new Scoring();
const servers: ChildProcess[] = [];
afterAll(async () => {
  await scoring.end();
  for (const server of servers) {
    server.kill('SIGTERM');
    if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
  }
});

async function serveByAzure(script: string): Promise<string> {
  const [port, healthPort] = [await ownPort(), await ownPort()];
  const program = join(repository, 'test/contract/scoring', script);
  const args = ['--entry_script', program, '--port', String(port), '--health_port', String(healthPort)];
  const server = spawn(outsidePython('azmlinfsrv'), args, {
    cwd: await scoring.folder(),
    env: { PATH: process.env['PATH'], PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  servers.push(server);
  const url = `http://127.0.0.1:${String(port)}`;
  for (;;) {
    const status = await fetch(url).then(
      (response) => response.status,
      () => undefined,
    );
    if (status === 200) return url;
    if (server.exitCode !== null) throw new Error(`azmlinfsrv ended with ${String(server.exitCode)}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

type Fields = Readonly<Record<string, string>>;

/** What is compared, field by field, and as the table shows it. */
async function ask(url: string, request: AzureRequest): Promise<Fields> {
  const { method = 'POST', path = '/score', headers = {}, body } = request;
  const init: RequestInit = body === undefined ? { method, headers } : { method, headers, body };
  // Without a type of its own \`fetch\` says that a string is text.
  if (typeof body === 'string' && !headers['content-type']) init.body = new TextEncoder().encode(body);
  const { status, headers: got, bytes, json } = await answered(await fetch(url + path, init));
  const ids = new Set(Object.values(headers));
  const known = (value: string | null): string =>
    value === null ? '-' : ids.has(value) ? value : 'an id of the server';
  return {
    status: String(status),
    // JSON is UTF-8 with or without a word about it.
    'content-type': got.get('content-type')?.split(';')[0] ?? '-',
    ...Object.fromEntries(comparedHeaders.map((name) => [name, known(got.get(name))])),
    ...Object.fromEntries(comparedPresence.map((name) => [name, got.has(name) ? 'there' : '-'])),
    body: bodyForm(status, path, json, bytes),
  };
}

/** Words of errors are each server's own, and so are generated documents: their form is compared. */
function bodyForm(status: number, path: string, json: unknown, bytes: Uint8Array): string {
  if (json === undefined) return JSON.stringify(new TextDecoder().decode(bytes).slice(0, 100));
  const object = typeof json === 'object' && json !== null ? json : {};
  if (status >= 400)
    return `{${Object.entries(object)
      .map(([name, value]) => `${name}: ${typeof value}`)
      .join()}}`;
  if (!path.startsWith('/swagger.json')) return JSON.stringify(json);
  const { swagger, openapi, paths } = object as { swagger?: string; openapi?: string; paths?: object };
  return `${swagger ?? openapi ?? ''} ${Object.keys(paths ?? {})
    .sort()
    .join(' ')}`;
}

function differingFields(azure: Fields, ours: Fields): string[] {
  return Object.keys(azure).filter((name) => azure[name] !== ours[name]);
}

describe.skipIf(!hasOutsidePython()).each([
  ['a script', scriptRequests],
  ['a model', modelRequests],
] as const)("Azure ML's server and ours, with %s", (what, requests) => {
  let azure = '';
  let ours = '';
  const table: string[] = [];
  beforeAll(async () => {
    azure = await serveByAzure(what === 'a script' ? 'azure-script.py' : 'azure-model.py');
    if (what === 'a script') {
      ({ url: ours } = await serveScript(scoring, { name: 'script', source: azureScript }));
      return;
    }
    const folder = await scoring.folder();
    await writeFile(join(folder, 'model.onnx'), identityModel(1, ['rows', 2]));
    ({ url: ours } = await scoring.serve([hostedModule(folder, 'model.onnx')]));
  });
  afterAll(() => {
    if (process.env['FLOTILLA_SHOW_TABLE']) console.log(table.join('\n'));
  });

  it.each(requests.map((request) => [request.what, request] as const))('%s', async (_, request) => {
    const [theirs, mine] = [await ask(azure, request), await ask(ours, request)];
    const chosen = differences.filter((one) => one.with === what && one.requests.includes(request.what));
    for (const name of Object.keys(theirs)) {
      const reason = chosen.find(({ field }) => field === (name as Field))?.reason;
      const same = theirs[name] === mine[name];
      if (same && (name.startsWith('x-') || name === 'traceid' || name === 'allow')) continue;
      const both = same ? (theirs[name] ?? '') : `${theirs[name] ?? ''} | ${mine[name] ?? ''}`;
      table.push(`${request.what} | ${name} | ${both}${reason === undefined ? '' : ` | ${reason}`}`);
    }
    expect(differingFields(theirs, mine).sort()).toEqual(chosen.map(({ field }) => field as string).sort());
  });
});
