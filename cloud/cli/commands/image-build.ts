/**
 * `flotilla image build`: builds on this machine, from files that were checked against the registered
 * digests; signs only the digest that was computed here; then uploads, registers, and waits.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { formatReference } from '#shared/kernel/names.js';
import { buildImage } from '#shared/package/build-image.js';
import { signImage } from '#shared/package/image-signature.js';
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import { readModuleManifest } from '#shared/package/read-manifest.js';
import type { ImageBody } from '#cloud/http/schemas/images.js';
import { downloadFile, uploadFile } from '#cloud/client/blob-transfer.js';
import { routes } from '#cloud/client/routes.js';
import { followActivity } from '../activity-follow.js';
import { collect, parseTags } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { readTextFile } from '../input.js';
import { type AssignedModel, assignModels } from '../model-assignment.js';
import { formatBytes } from '../output.js';
import { type KeyFlags, unlockSigningKeys, withKeyOptions } from '../keys/signing-keys.js';
import { type Session, withSession } from '../session.js';

interface BuildOptions extends KeyFlags {
  readonly model: readonly string[];
  readonly golden?: string;
  readonly layout?: string;
  readonly tag: readonly string[];
}

export function imageBuildCommand(io: CliIo): Command {
  const command = withKeyOptions(new Command('build'))
    .description('Build a module into an image, sign it on this machine, and register it.')
    .argument('<folder>', 'the folder of module.yaml')
    .option(
      '--model <ref>',
      "a registered model in place of the folder's file: digits:1, or name=digits:1; digits:1@sha256:… takes no other bytes",
      collect,
      [],
    )
    .option('--golden <file>', "golden vectors in place of the folder's")
    .option('--layout <dir>', 'keep the built image in this folder, as an OCI image layout')
    .option('--tag <k=v>', 'a tag of the image; several times', collect, [])
    .action(async (folder: string, options: BuildOptions) => {
      const tags = parseTags(options.tag);
      const manifestPath = join(folder, 'module.yaml');
      const manifest = readModuleManifest(await readTextFile(manifestPath), manifestPath);
      const assigned = assignModels(manifest, options.model);
      await withSession(io, command, async (session) => {
        const scratch = await mkdtemp(join(tmpdir(), 'flotilla-build-'));
        try {
          const image = await build(session, { folder, manifest, assigned, options, tags, scratch });
          session.progress.clear();
          session.out.result(image, () => `built and registered ${formatReference(image)}\n${image.digest}`);
        } finally {
          await rm(scratch, { recursive: true, force: true });
        }
      });
    });
  return withExamples(
    command,
    'flotilla image build modules/digits --model digits:1',
    'flotilla image build modules/digits --model digits:2 --golden modules/digits/golden-v2.json',
    'flotilla image build modules/gate --model detector=gate-detector:4 --layout /tmp/gate',
  );
}

interface BuildJob {
  readonly folder: string;
  readonly manifest: ModuleManifest;
  readonly assigned: readonly AssignedModel[];
  readonly options: BuildOptions;
  readonly tags: Readonly<Record<string, string>>;
  readonly scratch: string;
}

async function build(session: Session, job: BuildJob): Promise<ImageBody> {
  const { io, client, progress } = session;
  const models = await fetchModels(session, job.assigned, job.scratch);
  const layout = resolve(job.options.layout ?? join(job.scratch, 'layout'));
  const built = await buildImage({
    moduleFolder: resolve(job.folder),
    layout,
    log: (line) => progress.line(line),
    ...(Object.keys(models).length === 0 ? {} : { models }),
    ...(job.options.golden === undefined ? {} : { goldenFile: resolve(job.options.golden) }),
  });
  const keys = await unlockSigningKeys(io, job.options, (text) => progress.line(text));
  const { digest, name, flavor } = built;
  const envelope = signImage({ schema: 1, digest, name, flavor }, ...keys);
  progress.line(`signed with ${keys.map(({ keyId }) => keyId.slice(0, 16)).join(' and ')}`);
  for (const blob of built.blobs) {
    const label = blob.filepath ?? blob.digest.slice(0, 19);
    const sent = await uploadFile(client, blob, (done, total) => progress.bytes(`uploading ${label}`, done, total));
    if (sent) progress.line(`uploaded ${label} (${formatBytes(blob.size)})`);
  }
  const started = await client.call(routes.imageRegister, { body: { digest, envelope, tags: { ...job.tags } } });
  await followActivity(session, started);
  const image = await client.call(routes.imageGet, { params: { reference: digest } });
  if (image.digest === digest) return image;
  throw new AppError(
    'server.incompatible',
    `the control plane answers with ${image.digest}; what was built and signed here is ${digest}, and nothing else`,
  );
}

/** The ONNX file of each assigned model, by the name that the manifest gives it. */
async function fetchModels(
  { client, progress }: Session,
  assigned: readonly AssignedModel[],
  scratch: string,
): Promise<Record<string, string>> {
  const paths: Record<string, string> = {};
  for (const { name, reference, pin } of assigned) {
    const params = { name: reference.name, version: String(reference.version) };
    const model = await client.call(routes.modelGet, { params });
    const [graph] = model.files;
    if (graph === undefined) throw new AppError('model.invalid', `${formatReference(reference)} has no files`);
    if (pin !== undefined && pin !== graph.digest) {
      throw new AppError(
        'blob.digest-mismatch',
        `${formatReference(reference)} is ${graph.digest} at the control plane, not ${pin} as you said: nothing was built or signed`,
      );
    }
    const folder = join(scratch, 'models', name);
    for (const file of model.files) {
      const target = { ...file, path: join(folder, file.path) };
      await downloadFile(client, target, (done, total) => progress.bytes(`fetching ${file.path}`, done, total));
    }
    progress.line(`${name} is ${formatReference(reference)}, ${graph.digest}`);
    paths[name] = join(folder, graph.path);
  }
  return paths;
}
