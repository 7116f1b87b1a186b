import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeEnvelope, signImage } from '#shared/package/image-signature.js';
import { writeBlob } from '#shared/package/oci-layout.js';
import { generateSigningKey, type SigningKey } from '#shared/package/signing-key.js';
import { encodeVariantIndex, type IndexedVariant } from '#shared/package/variant-index.js';
import { desiredModuleSchema, type ImageReference } from '#shared/protocol/desired.js';
import { chooseVariants } from '#agent/reconcile/choose-variant.js';
import { removeFolder } from '#test/support/agent/agent-harness.js';
import { linkDevice, type LinkedDevice } from '#test/support/agent/device-link.js';
import { FakeCloud } from '#test/support/agent/fake-cloud.js';
import { plainImage } from '#test/support/agent/plain-image.js';
import { desiredOf } from '#test/support/agent/reconcile-builders.js';

let cloud: FakeCloud;
let device: LinkedDevice;
let folder: string;
let layout: string;
let image: ImageReference;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fv-'));
  cloud = await FakeCloud.start();
  device = await linkDevice(cloud, join(folder, 'device'));
  ({ layout, image } = await plainImage(folder, [Buffer.from('weights')], cloud.publisher));
  cloud.layouts.push(layout);
});
afterAll(async () => {
  await device.close();
  await cloud.close();
  await removeFolder(folder);
});

/** An index of that image alone, and how a device with a CPU follows it. */
async function chosen(
  said: Partial<IndexedVariant> = {},
  signers: { readonly index?: SigningKey; readonly variant?: SigningKey } = {},
): Promise<ImageReference> {
  const { digest, size, name } = image;
  const variant = { name, digest, size, accelerator: 'cpu', precision: 'int8', providers: ['cpu'], ...said } as const;
  const written = await writeBlob(layout, encodeVariantIndex({ name: 'eye', variants: [variant] }));
  const sign = async (of: string, signed: string, flavor: 'onnx' | 'index', key = cloud.publisher) =>
    writeBlob(layout, encodeEnvelope(signImage({ schema: 1, digest: of, name: signed, flavor }, key)));
  const own = signers.variant === undefined ? image.signature : await sign(digest, name, 'onnx', signers.variant);
  const module = desiredModuleSchema.parse({
    image: {
      name: 'eye',
      version: 3,
      ...written,
      signature: await sign(written.digest, 'eye', 'index', signers.index),
    },
    variants: [{ image: { ...image, signature: own }, accelerator: 'cpu', precision: 'int8', providers: ['cpu'] }],
  });
  const followed = chooseVariants(desiredOf(1, { eye: module }), ['cpu']).modules['eye'];
  if (followed === undefined) throw new Error('nothing was chosen');
  return followed.image;
}

describe('the download of a variant', () => {
  it.each<[string, Parameters<typeof chosen>, string]>([
    ['whose index nobody who counts has signed', [{}, { index: generateSigningKey() }], 'signature.unknown-key'],
    ['that nobody who counts has signed', [{}, { variant: generateSigningKey() }], 'signature.unknown-key'],
    ['that the index does not name', [{ digest: `sha256:${'1'.repeat(64)}` }], 'image.invalid'],
    ['of which the index says something else', [{ precision: 'fp32' }], 'image.invalid'],
  ])('%s is refused, and nothing of it is kept', async (_what, given, code) => {
    await expect(device.download(await chosen(...given))).rejects.toMatchObject({ code });
    expect(await device.images.blobs.has(image.digest)).toBe(false);
  });

  it('is refused where none runs here, with what each needs', async () => {
    const { chosenFrom } = await chosen();
    if (chosenFrom === undefined) throw new Error('nothing was chosen');
    const { accelerator: _a, precision: _p, because: _b, ...index } = chosenFrom;
    await expect(device.download({ ...index, version: 3 })).rejects.toMatchObject({
      code: 'module.invalid',
      message: 'no variant of eye:3 runs here, where cpu works: cpu/int8 needs cpu',
    });
  });

  it('brings the image once its index and its own publisher say so', async () => {
    await device.download(await chosen());
    expect(await device.images.stage(image.digest)).toMatchObject({ name: 'blob' });
  });
});
