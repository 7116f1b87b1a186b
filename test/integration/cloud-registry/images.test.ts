import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signImage } from '#shared/package/image-signature.js';
import { mediaTypes } from '#shared/package/media-types.js';
import { generateSigningKey } from '#shared/package/signing-key.js';
import { outsideTool } from '#test/support/outside-tool.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';
import { digitsFolder, startRegistry, type RegistryHarness } from '#test/support/cloud-registry/registry-harness.js';

const run = promisify(execFile);
const folder = temporaryFolder();
let cloud: RegistryHarness;
beforeAll(async () => {
  cloud = await startRegistry(folder('data'));
});
afterAll(() => cloud.stop());

describe('registering an image', () => {
  it('finds it whole, keeps the signature, and knows the registered model that it carries', async () => {
    await cloud.register('digits', { 'model.onnx': join(digitsFolder, 'model.onnx') });
    const key = generateSigningKey();
    const { digest, activity } = await cloud.publish(folder('one'), { key });
    expect(activity).toMatchObject({ state: 'succeeded', resource: `/v1/workspaces/default/images/${digest}` });
    const { body } = await cloud.w('GET', '/images/digits:1');
    expect(body).toMatchObject({
      name: 'digits',
      version: 1,
      digest,
      flavor: 'onnx',
      models: ['digits:1'],
      signature: { keyIds: [key.keyId] },
    });
    const signature = (body['signature'] as { digest: string }).digest;
    expect((await cloud.w('GET', `/blobs/${signature}`)).bytes.toString()).toContain(key.keyId);
    expect((body['layers'] as { mediaType: string }[]).at(-1)?.mediaType).toBe(mediaTypes.chunkMap);
  });

  it('is the same version again for the same digest, also by another key', async () => {
    const { activity } = await cloud.publish(folder('again'));
    expect(activity.state).toBe('succeeded');
    const { body } = await cloud.w('GET', '/images?name=digits');
    expect((body['items'] as { version: number }[]).map((image) => image.version)).toEqual([1]);
  });

  it('gives the next version to another digest', async () => {
    await cloud.publish(folder('two'), { model: join(digitsFolder, 'model-v2.onnx') });
    expect((await cloud.w('GET', '/images/digits:2')).body).toMatchObject({ version: 2, models: [] });
  });

  it('is listed in the layout so that skopeo copies it', async () => {
    const skopeo = outsideTool('skopeo');
    const { root } = cloud.ground.store;
    const raw = await run(skopeo, ['inspect', '--raw', `oci:${root}:default/digits:1`]);
    expect(JSON.parse(raw.stdout)).toMatchObject({ artifactType: mediaTypes.artifact });
    await run(skopeo, ['--insecure-policy', 'copy', `oci:${root}:default/digits:1`, `oci:${folder('copy')}:digits`]);
    const copied = JSON.parse(await readFile(folder('copy', 'index.json'), 'utf8')) as {
      manifests: { digest: string }[];
    };
    expect(copied.manifests[0]?.digest).toBe((await cloud.w('GET', '/images/digits:1')).body['digest']);
  });

  it('names the layer that was not uploaded', async () => {
    const other = await startRegistry(folder('other'));
    try {
      const { activity } = await other.publish(folder('three'), {
        skip: (blob) => blob.mediaType === mediaTypes.weight,
      });
      expect(activity.problem?.code).toBe('blob.not-found');
      expect(activity.problem?.message).toContain('.onnx');
    } finally {
      await other.stop();
    }
  });

  it('refuses an envelope that signs another digest or name', async () => {
    const { digest } = (await cloud.w('GET', '/images/digits:1')).body as { digest: string };
    const key = generateSigningKey();
    const other = signImage({ schema: 1, digest: `sha256:${'1'.repeat(64)}`, name: 'digits', flavor: 'onnx' }, key);
    const answer = await cloud.w('POST', '/images', { digest, envelope: other });
    expect(answer).toMatchObject({ status: 422, body: { code: 'signature.invalid' } });

    const misnamed = signImage({ schema: 1, digest, name: 'letters', flavor: 'onnx' }, key);
    const activity = await cloud.ended(await cloud.w('POST', '/images', { digest, envelope: misnamed }));
    expect(activity.problem).toMatchObject({ code: 'signature.invalid' });
    expect(activity.problem?.message).toContain('letters');
  });

  it('refuses an envelope over something that is not an image', async () => {
    const digest = `sha256:${'1'.repeat(64)}`;
    const envelope = signImage({ schema: 1, digest, name: 'digits', flavor: 'onnx' }, generateSigningKey());
    const wrong = { ...envelope, payloadType: 'application/vnd.flotilla.desired.v1+json' };
    expect((await cloud.w('POST', '/images', { digest, envelope: wrong })).body['code']).toBe('image.unsigned');
    const short = { ...envelope, signatures: [{ keyid: 'aa', sig: 'aaaa' }] };
    expect((await cloud.w('POST', '/images', { digest, envelope: short })).body['code']).toBe('signature.invalid');
  });

  it('refuses a digest that is no image', async () => {
    const digest = await cloud.upload(Buffer.from('{"schemaVersion": 2}'));
    const envelope = signImage({ schema: 1, digest, name: 'digits', flavor: 'onnx' }, generateSigningKey());
    const activity = await cloud.ended(await cloud.w('POST', '/images', { digest, envelope }));
    expect(activity.problem?.code).toBe('image.invalid');
  });

  it('answers an unknown image and a malformed reference', async () => {
    expect((await cloud.w('GET', '/images/digits:77')).body['code']).toBe('image.not-found');
    expect((await cloud.w('GET', '/images/digits')).body['code']).toBe('request.invalid');
  });

  it('takes a deleted image out of the layout and brings it back with its old version', async () => {
    expect((await cloud.w('DELETE', '/images/digits:2')).status).toBe(204);
    const index = async (): Promise<string> => readFile(join(cloud.ground.store.root, 'index.json'), 'utf8');
    expect(await index()).not.toContain('digits:2');
    await cloud.publish(folder('back'), { model: join(digitsFolder, 'model-v2.onnx') });
    expect((await cloud.w('GET', '/images/digits:2')).status).toBe(200);
    expect(await index()).toContain('default/digits:2');
  });
});
