/** An image whose archive of code is any bytes, with everything else as it should be, and rightly signed. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildChunkMap, encodeChunkMap } from '#shared/package/chunk-map.js';
import type { Descriptor, ImageManifest } from '#shared/package/image-schema.js';
import { signImage } from '#shared/package/image-signature.js';
import { annotations, mediaTypes } from '#shared/package/media-types.js';
import { blobPath, writeBlob, writeLayout } from '#shared/package/oci-layout.js';
import { encodeModuleManifest } from '#shared/package/read-manifest.js';
import type { SigningKey } from '#shared/package/signing-key.js';
import type { Envelope } from '#shared/protocol/envelope.js';
import type { Digest } from '#shared/protocol/primitives.js';
import { fixtures } from './scoring-harness.js';

export interface HostileImage {
  readonly digest: Digest;
  readonly envelope: Envelope;
  readonly blobs: readonly { readonly digest: Digest; readonly bytes: Buffer<ArrayBuffer> }[];
}

export async function hostileImage(name: string, archive: Uint8Array, publisher: SigningKey): Promise<HostileImage> {
  const layout = await mkdtemp(join(tmpdir(), 'flotilla-hostile-'));
  try {
    await writeLayout(layout);
    const module = encodeModuleManifest({
      schema: 1,
      name,
      flavor: 'onnx',
      models: [{ name, file: 'model.onnx' }],
      accelerators: ['cpu'],
      instances: 1,
    });
    const layer = async (mediaType: string, bytes: Uint8Array, path?: string): Promise<Descriptor> => ({
      mediaType,
      ...(await writeBlob(layout, bytes)),
      ...(path === undefined ? {} : { annotations: { [annotations.filepath]: path } }),
    });
    const config = await layer(mediaTypes.config, Buffer.from('{}'));
    const layers = [
      await layer(mediaTypes.moduleManifest, module, 'module.yaml'),
      await layer(mediaTypes.weight, await readFile(join(fixtures, 'add-one.onnx')), 'model.onnx'),
      await layer(mediaTypes.code, archive),
    ];
    const mapped = [config, ...layers].map(({ digest, size }) => ({
      digest,
      size,
      path: blobPath(layout, digest),
      cuts: [],
    }));
    const map = await layer(mediaTypes.chunkMap, encodeChunkMap(await buildChunkMap(mapped)));
    const manifest: ImageManifest = {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      artifactType: mediaTypes.artifact,
      config,
      layers: [...layers, map],
    };
    const { digest } = await writeBlob(layout, Buffer.from(JSON.stringify(manifest)));
    const digests = [...new Set([digest, config.digest, ...layers.map((one) => one.digest), map.digest])];
    const blobs = digests.map(async (one) => ({ digest: one, bytes: await readFile(blobPath(layout, one)) }));
    const envelope = signImage({ schema: 1, digest, name, flavor: 'onnx' }, publisher);
    return { digest, envelope, blobs: await Promise.all(blobs) };
  } finally {
    await rm(layout, { recursive: true, force: true });
  }
}
