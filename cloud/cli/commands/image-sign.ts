/**
 * `flotilla image sign`: a further publisher's word on an image that is registered already. It is built
 * anew here, from this machine's own files alone; only when that gives the very same digest is it signed.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { formatReference } from '#shared/kernel/names.js';
import { buildImage, type BuiltImage } from '#shared/package/build-image.js';
import { signImage } from '#shared/package/image-signature.js';
import { readModuleManifest } from '#shared/package/read-manifest.js';
import type { ImageBody } from '#cloud/http/schemas/images.js';
import { routes } from '#cloud/client/routes.js';
import { followActivity } from '../activity-follow.js';
import { collect, parseImageReference } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { imageDifferences } from '../image-differences.js';
import { readTextFile } from '../input.js';
import { type KeyFlags, unlockSigningKeys, withKeyOptions } from '../keys/signing-keys.js';
import { assignModelFiles } from '../model-assignment.js';
import { withSession } from '../session.js';

interface SignOptions extends KeyFlags {
  readonly from: string;
  readonly modelFile: readonly string[];
  readonly golden?: string;
}

export function imageSignCommand(io: CliIo): Command {
  const command = withKeyOptions(new Command('sign'))
    .description('Sign a registered image, once it was built anew from your own files with the same digest.')
    .argument('<image>', 'name:version or digest')
    .requiredOption('--from <folder>', 'the folder of module.yaml on this machine')
    .option('--model-file <file>', "your own ONNX file in place of the folder's; or name=file", collect, [])
    .option('--golden <file>', "golden vectors in place of the folder's")
    .action(async (text: string, options: SignOptions) => {
      const reference = parseImageReference(text);
      await withSession(io, command, async (session) => {
        const { client, progress, out } = session;
        const registered = await client.call(routes.imageGet, { params: { reference } });
        const built = await rebuild(options, (line) => progress.line(line));
        requireSame(registered, built, options.from);
        const keys = await unlockSigningKeys(io, options, (line) => progress.line(line));
        const { digest, name, flavor } = built;
        const envelope = signImage({ schema: 1, digest, name, flavor }, ...keys);
        const started = await client.call(routes.imageRegister, { body: { digest, envelope } });
        await followActivity(session, started);
        progress.clear();
        const signed = { name, version: registered.version, digest, keyIds: keys.map(({ keyId }) => keyId) };
        out.result(signed, () => `signed ${formatReference(signed)} with ${signed.keyIds.join(' and ')}\n${digest}`);
      });
    });
  return withExamples(
    command,
    'flotilla image sign digits:3 --from modules/digits',
    'flotilla image sign digits:4 --from modules/digits --model-file model-v2.onnx --golden golden-v2.json',
  );
}

async function rebuild(options: SignOptions, log: (line: string) => void): Promise<BuiltImage> {
  const scratch = await mkdtemp(join(tmpdir(), 'flotilla-sign-'));
  try {
    const manifestPath = join(options.from, 'module.yaml');
    const manifest = readModuleManifest(await readTextFile(manifestPath), manifestPath);
    const models = assignModelFiles(manifest, options.modelFile);
    return await buildImage({
      moduleFolder: resolve(options.from),
      layout: join(scratch, 'layout'),
      log,
      ...(Object.keys(models).length === 0 ? {} : { models }),
      ...(options.golden === undefined ? {} : { goldenFile: resolve(options.golden) }),
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** @throws AppError `signature.invalid` that says which files differ */
function requireSame(registered: ImageBody, built: BuiltImage, folder: string): void {
  if (registered.digest === built.digest) return;
  const differences = imageDifferences(registered, built);
  throw new AppError(
    'signature.invalid',
    `nothing was signed: ${formatReference(registered)} is ${registered.digest}, and ${folder} gives ${built.digest}. They differ in ` +
      `${differences.map(({ path, why }) => `${path} (${why})`).join(', ')}. ` +
      'Get the files that the image was built from, by another way than the control plane, and compare them',
    { details: { registered: registered.digest, built: built.digest, differences } },
  );
}
