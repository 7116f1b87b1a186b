/**
 * `flotilla image index`: one image that stands for several, of which each device runs the first that its hardware can.
 * The index is made and signed on this machine, and only of variants that this machine's own keys have signed.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { formatReference } from '#shared/kernel/names.js';
import { checkManifest } from '#shared/package/check-image.js';
import { digestOf } from '#shared/package/digest.js';
import { signImage, verifyImageSignature } from '#shared/package/image-signature.js';
import { mediaTypes } from '#shared/package/media-types.js';
import { decodeModuleManifest } from '#shared/package/read-manifest.js';
import { encodeVariantIndex, type IndexedVariant } from '#shared/package/variant-index.js';
import { providersOn } from '#shared/protocol/accelerators.js';
import type { ImageBody } from '#cloud/http/schemas/images.js';
import { uploadFile } from '#cloud/client/blob-transfer.js';
import { routes } from '#cloud/client/routes.js';
import { followActivity } from '../activity-follow.js';
import { collect, parseName, parseTags } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { type KeyFlags, unlockSigningKeys, withKeyOptions } from '../keys/signing-keys.js';
import { type Session, withSession } from '../session.js';
import { parseVariants, type VariantGiven } from '../variant-arguments.js';

interface IndexOptions extends KeyFlags {
  readonly variant: readonly string[];
  readonly tag: readonly string[];
}

export function imageIndexCommand(io: CliIo): Command {
  const command = withKeyOptions(new Command('index'))
    .description(
      'Make one image of several for different hardware: an OCI index, signed on this machine. A device runs the first variant, in the order given, of which it has a provider.',
    )
    .argument('<image>', "the index's name; its version is given")
    .requiredOption(
      '--variant <accelerator/precision=image>',
      'cpu, gpu, npu or fpga; fp32, fp16 or int8; an image that you signed; the preferred one first',
      collect,
      [],
    )
    .option('--tag <k=v>', 'a tag of the index; several times', collect, [])
    .action(async (text: string, options: IndexOptions) => {
      const name = parseName(text, 'image');
      const given = parseVariants(options.variant);
      const tags = parseTags(options.tag);
      await withSession(io, command, async (session) => {
        const { client, progress, out } = session;
        const keys = await unlockSigningKeys(io, options, (line) => progress.line(line));
        const publishers = keys.map(({ publicKey }) => publicKey);
        const variants: IndexedVariant[] = [];
        for (const one of given) variants.push(await readVariant(session, one, publishers));
        const bytes = encodeVariantIndex({ name, variants });
        const digest = digestOf(bytes);
        await upload(session, bytes, digest);
        const envelope = signImage({ schema: 1, digest, name, flavor: 'index' }, ...keys);
        await followActivity(
          session,
          await client.call(routes.imageRegister, { body: { digest, envelope, tags: { ...tags } } }),
        );
        const image = await client.call(routes.imageGet, { params: { reference: digest } });
        progress.clear();
        out.result(image, () => `made and registered ${formatReference(image)}\n${image.digest}`);
      });
    });
  return withExamples(
    command,
    'flotilla image index detector --variant gpu/fp16=detector-gpu:5 --variant cpu/int8=detector-int8:5 --variant cpu/fp32=detector-fp32:5',
  );
}

/** What the index says of it comes from bytes that were checked against a digest that these keys have signed. */
async function readVariant(
  { client, progress }: Session,
  { accelerator, precision, reference }: VariantGiven,
  publishers: readonly string[],
): Promise<IndexedVariant> {
  const image: ImageBody = await client.call(routes.imageGet, { params: { reference } });
  const shown = formatReference(image);
  if (image.flavor === 'index') throw new AppError('request.invalid', `${shown} is an index itself: name its variants`);
  const { digest, name } = image;
  const signed = verifyImageSignature(await client.readBlob(image.signature.digest), { digest, name }, publishers);
  if (!signed.ok) {
    throw new AppError(
      'signature.invalid',
      `${shown} is not signed by your key, so it cannot be in your index (${signed.error.message}): sign it first with flotilla image sign`,
    );
  }
  const bytes = await client.readBlob(digest);
  const manifest = checkManifest(bytes, digest);
  const layer = manifest.layers.find(({ mediaType }) => mediaType === mediaTypes.moduleManifest);
  const yaml = await client.readBlob(layer?.digest ?? '');
  if (digestOf(yaml) !== layer?.digest) {
    throw new AppError(
      'blob.digest-mismatch',
      `the module.yaml of ${shown} came with other bytes than its digest names`,
    );
  }
  const { accelerators } = decodeModuleManifest(yaml, `the module.yaml of ${shown}`);
  const providers = providersOn(accelerator, accelerators);
  if (providers.length === 0) {
    throw new AppError(
      'request.invalid',
      `${shown} names ${accelerators.join(', ')} as its accelerators, none of which is a ${accelerator}: build it with another in module.yaml, or say what it runs on`,
    );
  }
  progress.line(`${accelerator}/${precision} is ${shown}, ${digest}, on ${providers.join(', ')}`);
  return { name, digest, size: bytes.length, accelerator, precision, providers };
}

async function upload({ client, progress }: Session, bytes: Uint8Array, digest: string): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), 'flotilla-index-'));
  try {
    const path = join(scratch, 'index.json');
    await writeFile(path, bytes);
    await uploadFile(client, { path, digest, size: bytes.length }, (done, total) =>
      progress.bytes('uploading the index', done, total),
    );
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
