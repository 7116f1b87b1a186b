import { readFile } from 'node:fs/promises';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '#test/support/temporary-folder.js';
import {
  deployRow,
  digitsFolder,
  fixture,
  startRegistry,
  type RegistryHarness,
} from '#test/support/cloud-registry/registry-harness.js';

const folder = temporaryFolder();
let cloud: RegistryHarness;
beforeAll(async () => {
  cloud = await startRegistry(folder('data'), { 'limits-max-model-bytes': '1000000' });
});
afterAll(() => cloud.stop());

const items = async (query: string): Promise<string[]> => {
  const { body } = await cloud.w('GET', `/models${query}`);
  return (body['items'] as { name: string; version: number }[]).map(
    (model) => `${model.name}:${String(model.version)}`,
  );
};

describe('registering a model', () => {
  it('reads the signature from the graph, proves that it loads and gives version 1', async () => {
    const activity = await cloud.register(
      'add',
      { 'model.onnx': fixture('add-one.onnx') },
      {
        description: 'adds one',
        tags: { stage: 'dev' },
        properties: { source: 'test' },
      },
    );
    expect(activity).toMatchObject({ state: 'succeeded', kind: 'model.register', subject: 'add' });
    expect(activity.resource).toBe('/v1/workspaces/default/models/add/versions/1');
    const { body } = await cloud.request('GET', activity.resource ?? '');
    expect(body).toMatchObject({
      name: 'add',
      version: 1,
      description: 'adds one',
      tags: { stage: 'dev' },
      properties: { source: 'test' },
      size: 120,
      signature: {
        inputs: [{ name: 'x', datatype: 'FP32', shape: ['N', 4] }],
        opsets: { 'ai.onnx': 17 },
        irVersion: 8,
      },
    });
    const log = await cloud.w('GET', `/activities/${activity.id}/log`);
    expect(log.bytes.toString()).toContain('onnxruntime loads it');
  });

  it('gives the next version to the same bytes and stores them once', async () => {
    const files = { 'model.onnx': join(digitsFolder, 'model.onnx') };
    await cloud.register('digits', files);
    const before = await blobCount();
    const again = await cloud.register('digits', files);
    expect(again.resource).toMatch(/versions\/2$/);
    expect(await blobCount()).toBe(before);
  });

  it('gives every version once when many are registered at one time', async () => {
    const registered = await Promise.all(
      Array.from({ length: 6 }, () => cloud.register('crowd', { 'm.onnx': fixture('add-one.onnx') })),
    );
    const versions = registered.map((activity) => Number(activity.resource?.split('/').at(-1)));
    expect(versions.sort()).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('takes a model whose weights lie in a second file', async () => {
    const activity = await cloud.register('external', {
      'model.onnx': fixture('external/model.onnx'),
      'weights.bin': fixture('external/weights.bin'),
    });
    expect(activity.state).toBe('succeeded');
  });

  it('names the external file that is missing', async () => {
    const activity = await cloud.register('external', { 'model.onnx': fixture('external/model.onnx') });
    expect(activity).toMatchObject({ state: 'failed', problem: { code: 'model.invalid' } });
    expect(activity.problem?.message).toContain('weights.bin');
  });

  it('refuses a file that the graph does not refer to', async () => {
    const activity = await cloud.register('surplus', {
      'model.onnx': fixture('add-one.onnx'),
      'notes.bin': fixture('not-onnx.bin'),
    });
    expect(activity.problem).toMatchObject({ code: 'model.invalid', details: { surplus: ['notes.bin'] } });
  });

  it('refuses what is not ONNX, by the name the user gave', async () => {
    const activity = await cloud.register('bad', { 'cat.jpg': fixture('not-onnx.bin') });
    expect(activity.problem?.code).toBe('model.not-onnx');
    expect(activity.problem?.message).toContain('cat.jpg');
    expect(activity.problem?.message).not.toContain(folder());
  });

  it("refuses what onnxruntime cannot load, with onnxruntime's own words", async () => {
    const activity = await cloud.register('bad', { 'model.onnx': fixture('unloadable.onnx') });
    expect(activity.problem?.code).toBe('model.unloadable');
    expect(activity.problem?.message).toMatch(/onnxruntime cannot load model\.onnx: .+/);
    expect(activity.problem?.message).not.toContain(folder());
  });

  it.each([
    ['bf16.onnx', /cannot load bf16\.onnx: .* type BF16/],
    ['sequence-input.onnx', /sequence-input\.onnx cannot be served: input "xs" .* is a sequence/],
    ['sequence-output.onnx', /sequence-output\.onnx cannot be served: no output/],
  ])('refuses what no scoring host would serve, with the remedy: %s', async (file, message) => {
    const activity = await cloud.register('unserved', { [file]: fixture(file) });
    expect(activity.problem).toMatchObject({ code: 'model.unloadable' });
    expect(activity.problem?.message).toMatch(message);
    expect(activity.problem?.message).toMatch(/export the model|convert the model/);
  });

  it('takes a classifier with a map among its outputs, and logs that the map is left out', async () => {
    const activity = await cloud.register('forest', { 'model.onnx': fixture('forest-zipmap.onnx') });
    expect(activity.state).toBe('succeeded');
    const log = await cloud.w('GET', `/activities/${activity.id}/log`);
    expect(log.bytes.toString()).toContain('left out when it is served: output');
  });

  it('refuses files that are larger together than the limit, naming the setting', async () => {
    const path = folder('large.onnx');
    await writeFile(path, Buffer.alloc(1_000_001));
    const activity = await cloud.register('large', { 'model.onnx': path });
    expect(activity.problem?.code).toBe('request.too-large');
    expect(activity.problem?.message).toContain('limits.maxModelBytes');
  });

  it('refuses a blob that was never uploaded', async () => {
    const digest = `sha256:${'0'.repeat(64)}`;
    const started = await cloud.w('POST', '/models', { name: 'ghost', files: [{ path: 'm.onnx', digest }] });
    expect((await cloud.ended(started)).problem).toMatchObject({ code: 'blob.not-found' });
  });

  it('finds a blob that was damaged on disk, and works once it is uploaded again', async () => {
    const bytes = await readFile(fixture('two-inputs.onnx'));
    const digest = await cloud.upload(bytes);
    const damaged = Buffer.from(bytes);
    damaged[40] = (damaged[40] ?? 0) ^ 1;
    await writeFile(cloud.ground.store.pathOf(digest), damaged);
    const request = { name: 'damaged', files: [{ path: 'm.onnx', digest }] };
    const failed = await cloud.ended(await cloud.w('POST', '/models', request));
    expect(failed.problem).toMatchObject({ code: 'blob.corrupt', details: { digest } });
    expect((await cloud.w('HEAD', `/blobs/${digest}`)).status).toBe(404);
    await cloud.upload(bytes);
    expect((await cloud.ended(await cloud.w('POST', '/models', request))).state).toBe('succeeded');
  });

  it('refuses a path that leads out of the folder before anything starts', async () => {
    const answer = await cloud.w('POST', '/models', {
      name: 'escape',
      files: [{ path: '../../etc/passwd', digest: `sha256:${'0'.repeat(64)}` }],
    });
    expect(answer.status).toBe(400);
    expect(answer.body['message']).toContain('files.0.path');
  });
});

describe('using models', () => {
  it('answers an unknown model and an unknown version with what there is', async () => {
    expect((await cloud.w('GET', '/models/nope/versions/1')).body).toMatchObject({ code: 'model.not-found' });
    const version = await cloud.w('GET', '/models/digits/versions/99');
    expect(version.status).toBe(404);
    expect(version.body['message']).toContain('there are versions 1, 2');
  });

  it('lists newest first, page by page, by name and by tag', async () => {
    await cloud.register('paged', { 'm.onnx': fixture('add-one.onnx') }, { tags: { 'a.b/c': 'x', line: '1' } });
    await cloud.register('paged', { 'm.onnx': fixture('add-one.onnx') }, { tags: { 'a.b/c': 'y' } });
    expect(await items('?name=paged')).toEqual(['paged:2', 'paged:1']);
    expect(await items('?tag=a.b%2Fc%3Dx')).toEqual(['paged:1']);
    expect(await items('?tag=a.b%2Fc')).toEqual(['paged:2', 'paged:1']);
    expect(await items('?tag=a.b%2Fc%3Dx&tag=line%3D2')).toEqual([]);

    const all = await items('?limit=500');
    const paged: string[] = [];
    let cursor: string | undefined;
    do {
      const { body } = await cloud.w('GET', `/models?limit=2${cursor === undefined ? '' : `&cursor=${cursor}`}`);
      paged.push(
        ...(body['items'] as { name: string; version: number }[]).map((m) => `${m.name}:${String(m.version)}`),
      );
      cursor = body['next'] as string | undefined;
    } while (cursor !== undefined);
    expect(paged).toEqual(all);
    expect((await cloud.w('GET', '/models?cursor=bm9uc2Vuc2U')).status).toBe(400);
  });

  it('changes tags and description, removes a tag by null, and refuses to change properties', async () => {
    const path = '/models/digits/versions/1';
    expect((await cloud.w('PATCH', path, { tags: { a: '1', b: '2' } })).body['tags']).toEqual({ a: '1', b: '2' });
    const changed = await cloud.w('PATCH', path, { tags: { a: null }, description: 'better' });
    expect(changed.body).toMatchObject({ tags: { b: '2' }, description: 'better' });
    expect((await cloud.w('PATCH', path, { properties: { x: '1' } })).status).toBe(400);
    expect((await cloud.w('PATCH', path, { tags: { 'no space': '1' } })).body['code']).toBe('request.invalid');
  });

  it('downloads a file whole, in part, and not at all when it is known', async () => {
    const bytes = await readFile(join(digitsFolder, 'model.onnx'));
    const path = '/v1/workspaces/default/models/digits/versions/1/files/model.onnx';
    const whole = await cloud.request('GET', path);
    expect(whole.bytes.equals(bytes)).toBe(true);
    expect(whole.headers.get('content-length')).toBe(String(bytes.length));
    const etag = whole.headers.get('etag') ?? '';
    expect(etag).toMatch(/^"sha256:[0-9a-f]{64}"$/);
    const part = await cloud.request('GET', path, undefined, { range: 'bytes=100-199' });
    expect(part.status).toBe(206);
    expect(part.headers.get('content-range')).toBe(`bytes 100-199/${String(bytes.length)}`);
    expect(part.bytes.equals(bytes.subarray(100, 200))).toBe(true);
    expect((await cloud.request('GET', path, undefined, { range: 'bytes=-5' })).bytes.equals(bytes.subarray(-5))).toBe(
      true,
    );
    expect((await cloud.request('GET', path, undefined, { range: 'bytes=99999999-' })).status).toBe(416);
    expect((await cloud.request('GET', path, undefined, { 'if-none-match': etag })).status).toBe(304);
    expect((await cloud.request('HEAD', path)).headers.get('content-length')).toBe(String(bytes.length));
    expect((await cloud.w('GET', '/models/digits/versions/1/files/other')).body['message']).toContain('model.onnx');
  });

  it('deletes a version, keeps its number, and never gives it again', async () => {
    await cloud.register('short', { 'm.onnx': fixture('add-one.onnx') });
    expect((await cloud.w('DELETE', '/models/short/versions/1')).status).toBe(204);
    expect((await cloud.w('GET', '/models/short/versions/1')).status).toBe(404);
    expect((await cloud.w('DELETE', '/models/short/versions/1')).status).toBe(404);
    expect((await cloud.register('short', { 'm.onnx': fixture('add-one.onnx') })).resource).toMatch(/versions\/2$/);
  });

  it('refuses to delete what a device runs, naming the device, until it is undeployed', async () => {
    const { digest, activity } = await cloud.publish(folder('layout'));
    expect(activity.state).toBe('succeeded');
    await deployRow(cloud.ground, 'cam-1', digest);
    const model = await cloud.w('DELETE', '/models/digits/versions/1');
    expect(model.status).toBe(409);
    expect(model.body).toMatchObject({ code: 'model.in-use', details: { devices: ['cam-1'] } });
    const image = await cloud.w('DELETE', `/images/${digest}`);
    expect(image.body).toMatchObject({ code: 'image.in-use', details: { devices: ['cam-1'] } });
    expect((await cloud.w('DELETE', '/models/add/versions/1')).status).toBe(204);

    await cloud.ground.control.updateTable('deployments').set({ removedGeneration: 2 }).execute();
    expect((await cloud.w('DELETE', `/images/${digest}`)).status).toBe(204);
    expect((await cloud.w('DELETE', '/models/digits/versions/1')).status).toBe(204);
  });
});

async function blobCount(): Promise<number> {
  let count = 0;
  for await (const _blob of cloud.ground.store.list()) count++;
  return count;
}
