import { execFile } from 'node:child_process';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signImage } from '#shared/package/image-signature.js';
import { mediaTypes } from '#shared/package/media-types.js';
import { generateSigningKey } from '#shared/package/signing-key.js';
import { encodeVariantIndex } from '#shared/package/variant-index.js';
import { CliHarness, type CliRun } from '#test/support/cli/cli-harness.js';
import { digitsFolder, type RegistryHarness, startRegistry } from '#test/support/cloud-registry/registry-harness.js';
import { outsideTool } from '#test/support/outside-tool.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const folder = temporaryFolder();
let cloud: RegistryHarness;
let cli: CliHarness;
const flotilla = (...args: string[]): Promise<CliRun> => cli.run(args, { url: cloud.url, token: cloud.token });
const json = async (...args: string[]): Promise<Record<string, unknown>> => {
  const { exit, stdout, stderr } = await flotilla(...args, '--output', 'json');
  expect(exit, stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
};

beforeAll(async () => {
  cloud = await startRegistry(folder('data'));
  cli = await CliHarness.make();
  await cp(digitsFolder, folder('gpu'), { recursive: true });
  const yaml = join(folder('gpu'), 'module.yaml');
  const text = (await readFile(yaml, 'utf8')).replace(/^name: .*/m, 'name: digits-gpu');
  await writeFile(yaml, `${text.replace(/^accelerators:.*\n/m, '')}\naccelerators: [cuda, webgpu, cpu]\n`);
  await json('image', 'build', folder('gpu'));
  await json('image', 'build', digitsFolder);
});
afterAll(async () => {
  await cloud.stop();
  await cli.remove();
});

const variants = ['--variant', 'gpu/fp16=digits-gpu:1', '--variant', 'cpu/fp32=digits:1'];

describe('flotilla image index', () => {
  it('makes one image of several, each with the providers of its own module.yaml, and the same one again', async () => {
    const made = await json('image', 'index', 'eye', ...variants);
    expect(made).toMatchObject({
      ...{ name: 'eye', version: 1, flavor: 'index', layers: [] },
      variants: [
        {
          image: { name: 'digits-gpu', version: 1 },
          accelerator: 'gpu',
          precision: 'fp16',
          providers: ['cuda', 'webgpu'],
        },
        { image: { name: 'digits', version: 1 }, accelerator: 'cpu', precision: 'fp32', providers: ['cpu'] },
      ],
    });
    expect(await json('image', 'index', 'eye', ...variants)).toMatchObject({ version: 1, digest: made['digest'] });
    expect((await flotilla('image', 'show', 'eye:1')).stdout).toMatch(/gpu\/fp16 +digits-gpu:1 .*cuda webgpu/);
  });

  it('is an OCI index that skopeo copies with all its images', async () => {
    const skopeo = outsideTool('skopeo');
    const to = folder('copy');
    const from = `oci:${cloud.ground.store.root}:default/eye:1`;
    await promisify(execFile)(skopeo, [
      '--insecure-policy',
      'copy',
      '--all',
      '--preserve-digests',
      from,
      `oci:${to}:eye`,
    ]);
    const copied = JSON.parse(await readFile(join(to, 'index.json'), 'utf8')) as { manifests: { digest: string }[] };
    const { digest, variants: all } = (await cloud.w('GET', '/images/eye:1')).body as unknown as {
      digest: string;
      variants: { image: { digest: string } }[];
    };
    expect(copied.manifests[0]?.digest).toBe(digest);
    for (const { image } of all) {
      await readFile(join(to, 'blobs/sha256', image.digest.slice('sha256:'.length)));
    }
  });

  it('keeps its variants', async () => {
    const { stderr, exit } = await flotilla('image', 'delete', 'digits:1');
    expect({ stderr, exit }).toEqual({ exit: 5, stderr: expect.stringContaining('is a variant of eye:1') as string });
  });

  it('takes no variant that this machine has not signed', async () => {
    await cloud.publish(folder('other'), { model: join(digitsFolder, 'model-v2.onnx') });
    const { stderr, exit } = await flotilla('image', 'index', 'eye', '--variant', 'cpu/fp32=digits:2');
    expect(stderr).toContain('digits:2 is not signed by your key');
    expect(exit).not.toBe(0);
  });

  it.each([
    [['gpu/fp16=digits:1'], 'digits:1 names cpu as its accelerators, none of which is a gpu'],
    [['gpu/fp64=digits:1'], 'write for example gpu/fp16=detector-gpu:5'],
    [['cpu/fp32=digits:1', 'cpu/int8=digits:1'], 'digits:1 is given twice'],
    [['cpu/fp32=eye:1'], 'eye:1 is an index itself'],
    [['cpu/fp32=digits:9'], 'there is no image digits:9'],
  ])('refuses %j', async (given, message) => {
    const { stderr } = await flotilla('image', 'index', 'eye', ...given.flatMap((one) => ['--variant', one]));
    expect(stderr).toContain(message);
  });

  it('is not registered where what it says of a variant is not so, whoever signed it', async () => {
    const { digest } = (await cloud.w('GET', '/images/digits:1')).body as { digest: string };
    const { size } = await cloud.ground.control
      .selectFrom('images')
      .select('manifestSize as size')
      .where('digest', '=', digest)
      .executeTakeFirstOrThrow();
    const good = { name: 'digits', digest, size, accelerator: 'cpu', precision: 'fp32', providers: ['cpu'] } as const;
    for (const [change, code] of [
      [{ accelerator: 'gpu', providers: ['cuda'] }, 'image.invalid'],
      [{ providers: ['cpu', 'cuda'] }, 'image.invalid'],
      [{ name: 'letters' }, 'image.invalid'],
      [{ digest: `sha256:${'1'.repeat(64)}` }, 'image.not-found'],
    ] as const) {
      const bytes = encodeVariantIndex({ name: 'bad', variants: [{ ...good, ...change }] });
      const uploaded = await cloud.upload(bytes);
      const envelope = signImage({ schema: 1, digest: uploaded, name: 'bad', flavor: 'index' }, generateSigningKey());
      const activity = await cloud.ended(await cloud.w('POST', '/images', { digest: uploaded, envelope }));
      expect(activity.problem?.code, JSON.stringify(change)).toBe(code);
    }
    expect((await cloud.w('GET', '/images/eye:1')).body['layers']).not.toContainEqual(
      expect.objectContaining({ mediaType: mediaTypes.index }),
    );
  });
});
