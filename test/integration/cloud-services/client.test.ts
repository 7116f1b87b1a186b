/** What an endpoint tells of itself, and programs that ask by `flotilla/client`: the examples of docs/client.md, as built. */
import { execFile } from 'node:child_process';
import { createReadStream, readFileSync, writeFileSync } from 'node:fs';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ScoringClient } from '#cloud/client/index.js';
import { deployment, FrontWorld, frontKey } from '#test/support/front-world.js';
import { repository } from '#test/support/repository.js';
import { EndpointWorld } from '#test/support/services/endpoint-world.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
let world: EndpointWorld;
let front: FrontWorld;
/** What the replica was asked, in turn, and how it refuses the next requests. */
const asked: { readonly url: string; readonly body: unknown }[] = [];
const refusals: { readonly status: number; readonly after?: string }[] = [];

beforeAll(async () => {
  world = await EndpointWorld.open(folder('data'));
  await world.trust();
  const model = join(repository, 'modules/digits/model.onnx');
  await world.parts.ground.store.put(createReadStream(model), { maxBytes: 1_000_000 });
  await world.addImage('digits', 1);
  await world.json('endpoint', 'create', 'fraud');
  await world.json('deployment', 'create', 'blue', '--endpoint', 'fraud', '--image', 'digits:1', '--all-traffic');

  front = await FrontWorld.open();
  const replica = await front.replica((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const sent = Buffer.concat(pieces);
      const jsonLength = Number(request.headers['inference-header-content-length'] ?? sent.length);
      asked.push({ url: request.url ?? '', body: JSON.parse(sent.subarray(0, jsonLength).toString()) });
      const refusal = refusals.shift();
      response.setHeader('content-type', 'application/json');
      if (refusal) {
        response.writeHead(refusal.status, refusal.after === undefined ? {} : { 'retry-after': refusal.after });
        response.end('{"error":"not now"}');
        return;
      }
      const outputs = [{ name: 'y', datatype: 'FP32', shape: [1], data: [3] }];
      response.end(JSON.stringify(request.url === '/score' ? { y: [3] } : { model_name: 'digits', outputs }));
    });
  });
  front.apply([deployment('blue', [replica])]);
}, 60_000);

afterAll(async () => {
  await front.end();
  await world.stop();
});

interface Body {
  readonly content: Record<string, { readonly schema: object; readonly example?: unknown }>;
}
interface Operation {
  readonly requestBody?: Body;
  readonly responses: Record<string, Body>;
  readonly parameters: readonly { readonly name: string }[];
}
interface Document {
  readonly security: readonly object[];
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Record<string, Record<string, Operation>>;
}

describe('the document of an endpoint', () => {
  it('tells of its paths, callers and refusals', async () => {
    const document = await world.json<Document>('endpoint', 'openapi', 'fraud');
    const { paths, security, servers } = document;
    expect(servers).toEqual([{ url: 'http://127.0.0.1:1/endpoints/default/fraud' }]);
    expect(security).toEqual([{ caller: [] }]);
    const own = ['/v2/models/digits', '/v2/models/digits/infer', '/v2/models/digits/ready'];
    expect(Object.keys(paths).sort()).toEqual(['/', '/score', '/v2/health/live', '/v2/health/ready', ...own].sort());
    for (const operation of Object.values(paths).flatMap((path) => Object.values(path))) {
      expect(Object.keys(operation.responses)).toEqual(
        expect.arrayContaining(['200', '401', '404', '408', '413', '424', '429']),
      );
      expect(operation.parameters.map(({ name }) => name)).toEqual(
        expect.arrayContaining(['azureml-model-deployment', 'x-request-id']),
      );
    }
    for (const [, path = ''] of JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)) {
      const found = path.split('/').reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], document);
      expect(found, path).toBeTypeOf('object');
    }
  });

  it('has examples of the model that fit its schemas', async () => {
    const { paths } = await world.json<Document>('endpoint', 'openapi', 'fraud', '--deployment', 'blue');
    const ajv = new Ajv2020({ strict: false });
    for (const path of ['/score', '/v2/models/digits/infer']) {
      const operation = paths[path]?.['post'];
      for (const body of [operation?.requestBody, operation?.responses['200']]) {
        const { schema, example } = body?.content['application/json'] ?? { schema: {} };
        expect(example).toBeDefined();
        expect(ajv.validate(schema, example), ajv.errorsText()).toBe(true);
      }
    }
    const { example } = paths['/v2/models/digits/infer']?.['post']?.requestBody?.content['application/json'] ?? {};
    expect(example).toMatchObject({ inputs: [{ datatype: 'FP32' }] });
  });

  it('is refused for a deployment that is not there', async () => {
    const { exit, stderr } = await world.run('endpoint', 'openapi', 'fraud', '--deployment', 'blu');
    expect({ exit, stderr }).toMatchObject({
      exit: 4,
      stderr: expect.stringContaining('did you mean blue?') as string,
    });
  });
});

describe('a scoring client', () => {
  const open = (options: object = {}): ScoringClient =>
    new ScoringClient({ url: front.url('/score'), key: frontKey, ...options });

  it('waits as it is told and asks again, and no more often than it may', async () => {
    const client = open();
    refusals.push({ status: 503, after: '0' });
    const x = { name: 'x', datatype: 'FP32', shape: [1], data: [1] } as const;
    asked.length = 0;
    expect((await client.infer('digits', [x])).value.outputs).toMatchObject([{ name: 'y', data: [3] }]);
    expect(asked).toHaveLength(2);
    asked.length = 0;
    refusals.push(...Array.from({ length: 3 }, () => ({ status: 503, after: '0' })));
    await expect(client.infer('digits', [x])).rejects.toMatchObject({ code: 'score.not-ready' });
    expect(asked).toHaveLength(3);
    client.close();
  });

  it('does not ask again where nobody said when, or where that is too late', async () => {
    const client = open({ timeoutMs: 5000 });
    const x = { name: 'x', datatype: 'FP32', shape: [1], data: [1] } as const;
    for (const refusal of [{ status: 503 }, { status: 503, after: '60' }, { status: 500, after: '0' }]) {
      asked.length = 0;
      refusals.push(refusal);
      await expect(client.infer('digits', [x])).rejects.toMatchObject({ details: { status: refusal.status } });
      expect(asked).toHaveLength(1);
    }
    client.close();
  });

  it('says what was refused by a code', async () => {
    const stranger = open({ key: 'wrong' });
    await expect(stranger.score({})).rejects.toMatchObject({ code: 'auth.invalid', details: { status: 401 } });
    refusals.push({ status: 500 });
    const client = open();
    await expect(client.score({})).rejects.toMatchObject({ code: 'endpoint.replica-failed' });
    await expect(client.score({}, { deployment: 'red' })).rejects.toMatchObject({ details: { status: 404 } });
    const short = { name: 'x', datatype: 'FP32', shape: [2, 2], data: [1] } as const;
    await expect(client.infer('digits', [short])).rejects.toThrow('input x has 1 elements');
    stranger.close();
    client.close();
  });
});

describe('the page about it', () => {
  it('has examples that run in a project that has the package', async () => {
    const page = readFileSync(join(repository, 'docs/client.md'), 'utf8');
    const project = folder('project');
    await mkdir(join(project, 'node_modules'), { recursive: true });
    await symlink(repository, join(project, 'node_modules/flotilla'));
    const env = {
      ...{ ENDPOINT_URL: front.url(''), ENDPOINT_KEY: frontKey },
      ...{ FLOTILLA_URL: String(world.parts.url), FLOTILLA_TOKEN: world.parts.token },
    };
    const printed: string[] = [];
    for (const [index, { 1: source = '' }] of [...page.matchAll(/^```js\n([\s\S]*?)^```$/gm)].entries()) {
      const path = join(project, `${String(index)}.mjs`);
      writeFileSync(path, source);
      printed.push((await promisify(execFile)(process.execPath, [path], { env })).stdout);
    }
    const outputs = [{ name: 'y', datatype: 'FP32', shape: [1], data: [3] }];
    const [tensors, bytes] = [`blue {"y":[3]}\n${JSON.stringify(outputs)}\n`, 'Float32Array [ 1 ]\n'];
    expect(printed).toEqual([tensors, bytes, 'fraud key\n']);
  });

  it('names files with types where the package exports it', () => {
    const { exports } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as {
      exports: Record<string, Record<string, string>>;
    };
    const { types = '' } = exports['./client'] ?? {};
    expect(readFileSync(join(repository, types), 'utf8')).toContain('ScoringClient');
  });
});
