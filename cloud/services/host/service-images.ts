/**
 * Images as replicas run them: signature, manifest and every blob verified, then unpacked once into this service
 * host's own folder, from which they run also when the blobs are gone. The blob store is only read.
 */
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import { checkManifest, filepathOf, maxImageManifestBytes } from '#shared/package/check-image.js';
import { digestFile, digestOf, hexOf } from '#shared/package/digest.js';
import { maxSignatureBytes, verifyImageSignature } from '#shared/package/image-signature.js';
import type { ImageManifest } from '#shared/package/image-schema.js';
import { blobPath } from '#shared/package/oci-layout.js';
import { readUnpackedManifest, unpackImage } from '#shared/package/unpack-image.js';
import { isVariantIndex } from '#shared/package/variant-index.js';
import { diskError, errno, writeFileAtomic } from '#shared/platform/atomic-file.js';
import { makePrivateFolder } from '#shared/platform/private-file.js';
import { isThere } from '#shared/platform/is-there.js';
import type { ImageReference } from '#shared/protocol/desired.js';
import type { Digest } from '#shared/protocol/primitives.js';
import type { Trust } from '#shared/protocol/trust.js';
import type { ReadyImage } from './replica-runtime.js';

export interface ServiceImagePorts {
  /** Root of the control plane's blob store, an OCI image layout. */
  readonly blobs: string;
  /** Ours: what is unpacked, and copies of manifests and signatures. */
  readonly folder: string;
  /** @throws AppError where nobody is trusted in that workspace */
  readonly trust: (workspace: string) => Pick<Trust, 'version' | 'publishers' | 'withdrawn'>;
}

export class ServiceImages {
  /** Unpacked images whose files this process has verified, or does. */
  private readonly ready = new Map<Digest, Promise<ReadyImage>>();

  constructor(private readonly ports: ServiceImagePorts) {}

  /**
   * Asked again for the same image, it verifies the signature again, by who counts now.
   *
   * @param ranBefore it was accepted once, and answered: a publisher who was withdrawn since still counts for it, as
   *   on devices, since ending what answers is nobody's wish
   * @throws AppError `trust.not-found`, `signature.*`, `image.invalid`, `blob.*`, `module.*`, `archive.*`, `disk.*`
   */
  async open(workspace: string, image: ImageReference, ranBefore: boolean): Promise<ReadyImage> {
    const trust = this.ports.trust(workspace);
    const envelope = await this.small(image.signature.digest, maxSignatureBytes, 'the signature');
    const publishers = ranBefore ? [...trust.publishers, ...trust.withdrawn] : trust.publishers;
    const signed = verifyImageSignature(envelope, image, publishers);
    if (!signed.ok) throw refused(image, signed.error, envelope, trust);
    const bytes = await this.small(image.digest, maxImageManifestBytes, 'the manifest');
    if (isVariantIndex(bytes)) {
      throw new AppError(
        'image.invalid',
        `${nameOf(image)} is an index of variants: a deployment runs one of them, by its own digest`,
      );
    }
    const manifest = checkManifest(bytes, image.digest);
    const opening = this.ready.get(image.digest) ?? this.place(image, manifest);
    this.ready.set(image.digest, opening);
    try {
      return await opening;
    } catch (error) {
      this.ready.delete(image.digest);
      throw error;
    }
  }

  /** Removes what is not of these images. Call it while no image is being opened. */
  async collect(keep: readonly ImageReference[]): Promise<void> {
    const small = new Set(keep.flatMap(({ digest, signature }) => [hexOf(digest), hexOf(signature.digest)]));
    const modules = new Set(keep.map(({ digest }) => hexOf(digest)));
    await collectFolder(join(this.ports.folder, 'small'), small);
    await collectFolder(join(this.ports.folder, 'modules'), modules);
    for (const digest of this.ready.keys()) if (!modules.has(hexOf(digest))) this.ready.delete(digest);
  }

  private async place(image: ImageReference, manifest: ImageManifest): Promise<ReadyImage> {
    const folder = join(this.ports.folder, 'modules', hexOf(image.digest));
    const kept = await this.openKept(folder, manifest);
    if (kept !== undefined) return { folder, manifest: kept };
    const pathOf = (digest: Digest): string => blobPath(this.ports.blobs, digest);
    for (const { digest, size } of [manifest.config, ...manifest.layers])
      await requireBytes(pathOf(digest), digest, size);
    await makePrivateFolder(join(this.ports.folder, 'modules'));
    const unpacked = await unpackImage({ manifest, blobPath: pathOf, target: folder });
    return { folder, manifest: unpacked.manifest };
  }

  /** What was unpacked before, with its weights hashed once more; undefined, and gone, when it is not as it was. */
  private async openKept(folder: string, manifest: ImageManifest): Promise<ReadyImage['manifest'] | undefined> {
    if (!(await isThere(folder))) return undefined;
    try {
      for (const layer of manifest.layers) {
        const path = filepathOf(layer);
        if (path !== undefined) await requireBytes(join(folder, path), layer.digest, layer.size);
      }
      return await readUnpackedManifest(folder);
    } catch (error) {
      if (!(error instanceof AppError) && errno(error) === undefined) throw error;
      await rm(folder, { recursive: true, force: true });
      return undefined;
    }
  }

  /** From our own copy, or from the blob store; then there is a copy. */
  private async small(digest: Digest, maxBytes: number, what: string): Promise<Uint8Array> {
    const own = join(this.ports.folder, 'small', hexOf(digest));
    const copy = await readSmall(own, maxBytes);
    if (copy !== undefined && digestOf(copy) === digest) return copy;
    const bytes = await readSmall(blobPath(this.ports.blobs, digest), maxBytes);
    if (bytes === undefined) {
      throw new AppError('blob.not-found', `${what} ${digest} is not in the blob store, or is larger than it may be`);
    }
    if (digestOf(bytes) !== digest) throw damaged(digest);
    await makePrivateFolder(join(this.ports.folder, 'small'));
    await writeFileAtomic(own, bytes, { mode: 0o600 });
    return bytes;
  }
}

function refused(
  image: ImageReference,
  error: { readonly code: 'signature.invalid' | 'signature.unknown-key'; readonly message: string },
  envelope: Uint8Array,
  { version, withdrawn }: Pick<Trust, 'version' | 'withdrawn'>,
): AppError {
  const once = error.code === 'signature.unknown-key' && verifyImageSignature(envelope, image, withdrawn).ok;
  const why = once
    ? `its publisher was withdrawn by version ${String(version)} of the trust document or before; a publisher who counts must sign it (flotilla image sign)`
    : error.message;
  return new AppError(once ? 'signature.withdrawn' : error.code, `${nameOf(image)} is refused: ${why}`, {
    details: { digest: image.digest },
  });
}

async function requireBytes(path: string, digest: Digest, size: number): Promise<void> {
  if (!(await isThere(path))) throw new AppError('blob.not-found', `the blob ${digest} is not in the blob store`);
  const found = await digestFile(path);
  if (found.digest !== digest || found.size !== size) throw damaged(digest);
}

function damaged(digest: Digest): AppError {
  return new AppError('blob.corrupt', `the blob ${digest} no longer has its content: upload it again`, {
    details: { digest },
  });
}

async function readSmall(path: string, maxBytes: number): Promise<Uint8Array | undefined> {
  try {
    return (await stat(path)).size > maxBytes ? undefined : await readFile(path);
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined;
    throw diskError(error, `cannot read ${path}`);
  }
}

async function collectFolder(folder: string, keep: ReadonlySet<string>): Promise<void> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (errno(error) === 'ENOENT') return [];
    throw diskError(error, `cannot read ${folder}`);
  });
  for (const name of names) if (!keep.has(name)) await rm(join(folder, name), { recursive: true, force: true });
}

function nameOf({ name, version }: ImageReference): string {
  return `${name}:${String(version)}`;
}
