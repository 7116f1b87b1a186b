/** The activity `image.register`: an image is whole, signed, and says what the publisher signed. */
import { Readable } from 'node:stream';
import { AppError } from '#shared/kernel/errors.js';
import { toInstant, type Clock } from '#shared/kernel/clock.js';
import { encodeEnvelope, maxSignatureBytes } from '#shared/package/image-signature.js';
import { joinSignatures } from '#shared/package/dsse.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import { envelopeSchema, type Envelope } from '#shared/protocol/envelope.js';
import type { Digest } from '#shared/protocol/primitives.js';
import type { ActivityKind } from '#cloud/activities/activity-runner.js';
import { imageCreate } from '#cloud/http/schemas/images.js';
import type { BlobRepository } from '#cloud/store/blob-repository.js';
import type { BlobStore } from '#cloud/store/blob-store.js';
import type { ImageRepository } from '#cloud/store/image-repository.js';
import type { ModelRepository } from '#cloud/store/model-repository.js';
import { readClosure, type ImageClosure } from './image-closure.js';
import type { ImageStatement } from '#shared/package/image-schema.js';
import type { IndexedVariant } from '#shared/package/variant-index.js';
import { readIndexClosure } from './index-closure.js';
import type { ImageIndex } from './image-index.js';
import { readStatement } from './image-statement.js';

export const registerImageKind = 'image.register';

export interface RegisterImageDeps {
  readonly store: BlobStore;
  readonly blobs: BlobRepository;
  readonly images: ImageRepository;
  readonly models: ModelRepository;
  readonly index: ImageIndex;
  readonly clock: Clock;
  /** An image that was registered before may have more signatures now. */
  readonly onSigned: () => void;
}

export function registerImage(deps: RegisterImageDeps): ActivityKind {
  return {
    kind: registerImageKind,
    idempotent: true,
    run: async (input, context) => {
      const { digest, envelope, tags } = imageCreate.parse(input);
      const { workspace } = context;
      const signed = await withEarlierSignatures(deps, workspace, digest, envelope);
      const statement = readStatement(signed, digest);
      const closure = await closureOf(deps, workspace, statement, context.signal);
      await context.log(`${statement.name}: ${String(closure.blobs.length)} blobs, all whole`);

      context.signal.throwIfAborted();
      const now = toInstant(deps.clock.now());
      const signature = await deps.store.put(Readable.from([encodeEnvelope(signed)]), {
        maxBytes: maxSignatureBytes,
      });
      await deps.blobs.grant(workspace, signature, now);
      const resource = `/v1/workspaces/${workspace}/images/${digest}`;
      const outcome = await deps.images.register(
        workspace,
        {
          name: statement.name,
          digest,
          manifestSize: closure.manifestSize,
          flavor: statement.flavor,
          signature: { digest: signature.digest, size: signature.size, keyIds: statement.keyIds },
          tags,
          blobs: closure.blobs,
          variants: closure.variants,
          createdAt: now,
        },
        { id: context.id, resource },
      );
      if (outcome.kind === 'missing-blobs') {
        throw new AppError(
          'blob.not-found',
          `${outcome.digests.join(', ')} went away meanwhile: upload and register again`,
        );
      }
      if (!outcome.isNew) deps.onSigned();
      await deps.index.write();
      const models = await deps.models.carriedBy(workspace, digest);
      await context.log(
        `${outcome.isNew ? 'registered' : 'already registered as'} ${statement.name}:${String(outcome.version)}`,
      );
      await context.log(models.length === 0 ? 'carries no registered model' : `carries ${models.join(', ')}`);
      return resource;
    },
  };
}

interface Whole extends Pick<ImageClosure, 'manifestSize' | 'blobs'> {
  readonly variants: readonly IndexedVariant[];
}

/** What the publisher signed is what is here. */
async function closureOf(
  deps: RegisterImageDeps,
  workspace: string,
  statement: ImageStatement,
  signal: AbortSignal,
): Promise<Whole> {
  const { digest, name, flavor } = statement;
  if (flavor === 'index') {
    const index = await readIndexClosure(deps, workspace, digest);
    if (index.name === name) return index;
    throw new AppError('signature.invalid', `the publisher signed the index ${name}, its name is ${index.name}`);
  }
  const closure = await readClosure(deps, workspace, digest, signal);
  checkName(closure, statement);
  return { ...closure, variants: [] };
}

/** Another publisher's signature joins those there are: whoever trusts the first one still does. */
async function withEarlierSignatures(
  { images, store }: RegisterImageDeps,
  workspace: string,
  digest: Digest,
  offered: Envelope,
): Promise<Envelope> {
  const known = await images.find(workspace, { digest });
  if (known === undefined) return offered;
  const bytes = await store.readAll(known.signature.digest, maxSignatureBytes);
  const stored = decodeMessage(envelopeSchema, bytes, maxSignatureBytes);
  return stored.ok ? joinSignatures(offered, stored.value) : offered;
}

function checkName({ module }: ImageClosure, statement: { readonly name: string; readonly flavor: string }): void {
  if (module.name !== statement.name || module.flavor !== statement.flavor) {
    throw new AppError(
      'signature.invalid',
      `the publisher signed ${statement.name} (${statement.flavor}), the image holds ${module.name} (${module.flavor})`,
    );
  }
}
