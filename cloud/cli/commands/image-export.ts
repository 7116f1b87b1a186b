/** `flotilla image export`: an image as an OCI image layout that other tools read. */
import { Command } from 'commander';
import { formatReference } from '#shared/kernel/names.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import { AppError } from '#shared/kernel/errors.js';
import { digestOf } from '#shared/package/digest.js';
import { type Descriptor, type ImageManifest, imageManifestSchema } from '#shared/package/image-schema.js';
import { mediaTypes } from '#shared/package/media-types.js';
import { addToIndex, blobPath, writeBlob, writeLayout } from '#shared/package/oci-layout.js';
import { downloadFile } from '#cloud/client/blob-transfer.js';
import { routes } from '#cloud/client/routes.js';
import { parseImageReference } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { formatBytes } from '../output.js';
import { type Session, withSession } from '../session.js';

const maxManifestBytes = 1024 * 1024;

export function imageExportCommand(io: CliIo): Command {
  const command = new Command('export')
    .description('Write an image as an OCI image layout, each blob checked against its digest.')
    .argument('<image>', 'name:version or digest')
    .argument('<dir>', 'folder to write to; one that is a layout already gets the image added')
    .action(async (text: string, folder: string) => {
      const reference = parseImageReference(text);
      await withSession(io, command, async (session) => {
        const { client } = session;
        const image = await client.call(routes.imageGet, { params: { reference } });
        if (image.flavor === 'index') {
          const names = (image.variants ?? []).map((one) => formatReference(one.image)).join(', ');
          throw new AppError('request.invalid', `${formatReference(image)} is an index: export its variants ${names}`);
        }
        await writeLayout(folder);
        const bytes = await client.readBlob(image.digest);
        const manifest = parseManifest(bytes, image.digest);
        await writeBlob(folder, bytes);
        for (const blob of [manifest.config, ...manifest.layers]) await fetchBlob(session, folder, blob);
        // The publisher's word travels along as a blob, so that whoever imports it can check it.
        await fetchBlob(session, folder, image.signature);
        const descriptor: Descriptor = { mediaType: mediaTypes.manifest, digest: image.digest, size: bytes.length };
        await addToIndex(folder, descriptor, formatReference(image));
        session.progress.clear();
        session.out.result(
          { image: formatReference(image), digest: image.digest, signature: image.signature.digest, layout: folder },
          () => `wrote ${formatReference(image)} (${formatBytes(image.size)}) to ${folder}\n${image.digest}`,
        );
      });
    });
  return withExamples(
    command,
    'flotilla image export digits:1 /tmp/digits',
    'flotilla image export digits:1 /tmp/digits && skopeo inspect --raw oci:/tmp/digits:digits:1',
  );
}

async function fetchBlob(
  { client, progress }: Session,
  folder: string,
  blob: { readonly digest: string; readonly size: number },
): Promise<void> {
  const path = blobPath(folder, blob.digest);
  const label = blob.digest.slice(0, 19);
  await downloadFile(client, { ...blob, path }, (done, total) => progress.bytes(label, done, total));
}

function parseManifest(bytes: Uint8Array, digest: string): ImageManifest {
  if (digestOf(bytes) !== digest) {
    throw new AppError('blob.digest-mismatch', `what the server sent as the manifest ${digest} is something else`);
  }
  const manifest = decodeMessage(imageManifestSchema, bytes, maxManifestBytes);
  if (!manifest.ok) throw new AppError('image.invalid', `the image's manifest is not one: ${manifest.error.message}`);
  return manifest.value;
}
