/** An image around any bytes, made by hand: for what is about bytes and not about models. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { buildChunkMap, encodeChunkMap } from '#shared/package/chunk-map.js';
import type { Descriptor, ImageManifest } from '#shared/package/image-schema.js';
import { encodeEnvelope, signImage } from '#shared/package/image-signature.js';
import { annotations, mediaTypes } from '#shared/package/media-types.js';
import { blobPath, writeBlob, writeLayout } from '#shared/package/oci-layout.js';
import { encodeModuleManifest } from '#shared/package/read-manifest.js';
import type { SigningKey } from '#shared/package/signing-key.js';
import type { ImageReference } from '#shared/protocol/desired.js';

export const plainModule = encodeModuleManifest({
  schema: 1,
  name: 'blob',
  flavor: 'onnx',
  models: [{ name: 'blob', file: 'models/0.onnx' }],
  accelerators: ['cpu'],
  instances: 1,
});

/** @param pathOf where the weights of that number are to lie on the device */
export async function plainImage(
  folder: string,
  weights: readonly Uint8Array[],
  publisher: SigningKey,
  pathOf: (index: number) => string = (index) => `models/${String(index)}.onnx`,
): Promise<{ layout: string; image: ImageReference; manifest: ImageManifest }> {
  const layout = join(folder, 'oci');
  await mkdir(layout, { recursive: true });
  await writeLayout(layout);
  const config = { mediaType: mediaTypes.config, ...(await writeBlob(layout, Buffer.from('{}'))) };
  const at = (path: string) => ({ annotations: { [annotations.filepath]: path } });
  const module = {
    mediaType: mediaTypes.moduleManifest,
    ...(await writeBlob(layout, plainModule)),
    ...at('module.yaml'),
  };
  const layers: Descriptor[] = [module];
  for (const [index, bytes] of weights.entries()) {
    layers.push({ mediaType: mediaTypes.weight, ...(await writeBlob(layout, bytes)), ...at(pathOf(index)) });
  }
  const blobs = [config, ...layers].map(({ digest, size }) => ({
    digest,
    size,
    path: blobPath(layout, digest),
    cuts: [],
  }));
  const map = await writeBlob(layout, encodeChunkMap(await buildChunkMap(blobs)));
  const manifest: ImageManifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    artifactType: mediaTypes.artifact,
    config,
    layers: [...layers, { mediaType: mediaTypes.chunkMap, ...map }],
  };
  const written = await writeBlob(layout, Buffer.from(JSON.stringify(manifest)));
  const statement = { schema: 1, digest: written.digest, name: 'blob', flavor: 'onnx' } as const;
  const signature = await writeBlob(layout, encodeEnvelope(signImage(statement, publisher)));
  return { layout, image: { name: 'blob', version: 1, ...written, signature }, manifest };
}
