import { copyFile, mkdir, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { hexOf } from '#shared/package/digest.js';
import { blobPath } from '#shared/package/oci-layout.js';
import { generateSigningKey, type SigningKey } from '#shared/package/signing-key.js';
import type { ImageReference } from '#shared/protocol/desired.js';
import type { ReadyImage } from '#cloud/services/host/replica-runtime.js';
import { ServiceImages } from '#cloud/services/host/service-images.js';
import { ServicesTrust } from '#cloud/services/host/services-trust.js';
import { digitsFolder } from '#test/support/scoring-harness.js';
import { signedImage } from '#test/support/services/service-world.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';
import { signTrust, trustDocument } from '#test/support/trust-documents.js';

const path = temporaryFolder();
const [first, second, stranger, director] = [1, 2, 3, 4].map(() => generateSigningKey()) as [
  SigningKey,
  SigningKey,
  SigningKey,
  SigningKey,
];

describe('images of a service host', () => {
  let image: ImageReference;
  let kept: ReadyImage;
  let withdrawn: string[] = [];
  let publishers = [first.publicKey];
  const images = (): ServiceImages =>
    new ServiceImages({
      ...{ blobs: path('blobs'), folder: path('images') },
      trust: () => ({ version: 1, publishers, withdrawn }),
    });
  const open = (ranBefore = false): Promise<ReadyImage> => images().open('w', image, ranBefore);
  const folder = (): string => path('images', 'modules', hexOf(image.digest));

  beforeAll(async () => {
    image = await signedImage(path('blobs'), digitsFolder, first);
  });

  it('are refused whole when a blob is damaged, and nothing of them is left', async () => {
    await signedImage(path('damaged'), digitsFolder, first);
    const weights = await largestBlob(path('damaged'));
    await truncate(weights, 10);
    const damaged = new ServiceImages({
      ...{ blobs: path('damaged'), folder: path('never') },
      trust: () => ({ version: 1, publishers, withdrawn }),
    });
    await expect(damaged.open('w', image, false)).rejects.toMatchObject({ code: 'blob.corrupt' });
    expect(await readdir(path('never'))).toEqual(['small']);
  });

  it('are unpacked once, and open from then on without the blob store', async () => {
    const ready = await open();
    kept = ready;
    expect(ready).toMatchObject({ folder: folder(), manifest: { name: 'digits' } });
    await rm(path('blobs'), { recursive: true });
    expect(await open()).toEqual(ready);
  });

  it('are unpacked anew when their weights are no longer what they were', async () => {
    const model = join(folder(), kept.manifest.models[0]?.file ?? '');
    await rm(model);
    await writeFile(model, 'other weights');
    await expect(open()).rejects.toMatchObject({ code: 'blob.not-found' });
    await signedImage(path('blobs'), digitsFolder, first);
    expect((await open()).folder).toBe(folder());
  });

  it('of a publisher who was withdrawn are refused, but for those that ran before', async () => {
    [publishers, withdrawn] = [[second.publicKey], [first.publicKey]];
    await expect(open()).rejects.toMatchObject({ code: 'signature.withdrawn' });
    expect((await open(true)).folder).toBe(folder());
    withdrawn = [];
    await expect(open(true)).rejects.toMatchObject({ code: 'signature.unknown-key' });
  });

  it('that nobody wants any more are removed', async () => {
    await images().collect([image]);
    expect(await readdir(path('images', 'modules'))).toEqual([hexOf(image.digest)]);
    await images().collect([]);
    expect([await readdir(path('images', 'modules')), await readdir(path('images', 'small'))]).toEqual([[], []]);
  });
});

describe('the trust of a service host', () => {
  const lost: string[] = [];
  const trust = async (name: string, pins: Record<string, string[]> = {}): Promise<ServicesTrust> => {
    await mkdir(path('trust'), { recursive: true });
    const opened = new ServicesTrust(path('trust', name), pins, ({ message }) => lost.push(message));
    await opened.open();
    return opened;
  };
  const handed = (...envelopes: ReturnType<typeof signTrust>[]): Parameters<ServicesTrust['take']>[0] => ({
    schema: 1,
    workspaces: [{ workspace: 'w', envelopes }],
  });
  const v1 = signTrust(trustDocument(1, [first], [director]), first);
  const v2 = signTrust(trustDocument(2, [second], [director], { withdrawn: [first.publicKey] }), first, second);
  const takenOver = signTrust(trustDocument(2, [stranger], [director]), stranger);

  it('follows what publishers signed of each other, also after a restart, and nobody else', async () => {
    const opened = await trust('followed');
    expect(() => opened.of('w')).toThrow(expect.objectContaining({ code: 'trust.not-found' }));
    expect(await opened.take(handed(v1))).toEqual({ changed: true, refused: [] });
    const { changed, refused } = await opened.take(handed(takenOver));
    expect([changed, refused.map(({ code }) => code)]).toEqual([false, ['signature.unknown-key']]);
    expect(await opened.take(handed(v1, v2))).toEqual({ changed: true, refused: [] });
    const again = await trust('followed');
    expect(again.versions).toEqual({ w: 2 });
    expect(again.of('w')).toMatchObject({ publishers: [second.publicKey], withdrawn: [first.publicKey] });
    // Pins count once, while nothing is known.
    await again.take({ schema: 1, workspaces: [{ workspace: 'w', pins: [stranger.publicKey], envelopes: [] }] });
    expect(again.of('w').publishers).toEqual([second.publicKey]);
  });

  it('believes no first document but that of whom the operator pinned', async () => {
    const opened = await trust('pinned', { w: [first.publicKey] });
    expect(opened.of('w').publishers).toEqual([first.publicKey]);
    const forged = signTrust(trustDocument(1, [stranger], [director]), stranger);
    const { changed, refused } = await opened.take(handed(forged));
    expect([changed, refused.length]).toEqual([true, 1]);
    expect(opened.of('w').publishers).toEqual([first.publicKey]);
    await opened.take(handed(v1, v2));
    expect(opened.versions).toEqual({ w: 2 });
  });

  it('that cannot be read trusts nobody until it is told anew, and says so', async () => {
    await writeFile(path('trust', 'torn'), 'torn');
    const opened = await trust('torn');
    expect(lost).toHaveLength(1);
    expect(() => opened.of('w')).toThrow(expect.objectContaining({ code: 'trust.not-found' }));
    expect(await opened.take(handed(v1))).toMatchObject({ changed: true });
  });
});

async function largestBlob(layout: string): Promise<string> {
  const copy = `${layout}.copy`;
  const names = await readdir(join(layout, 'blobs', 'sha256'));
  const sized = await Promise.all(
    names.map(async (name) => ({ name, size: (await stat(blobPath(layout, `sha256:${name}`))).size })),
  );
  const [largest] = sized.sort((a, b) => b.size - a.size);
  const file = blobPath(layout, `sha256:${largest?.name ?? ''}`);
  // It may share its bytes with the module's own folder.
  await copyFile(file, copy);
  await rm(file);
  await copyFile(copy, file);
  return file;
}
