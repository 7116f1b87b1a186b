/**
 * Which modules answer although nobody who counts has signed their image any more: their publisher was
 * withdrawn. They go on answering, also after a restart, since stopping them is a recall's business; they
 * are named in every report, so that an operator replaces them.
 */
import { AppError } from '#shared/kernel/errors.js';
import { maxSignatureBytes, verifyImageSignature } from '#shared/package/image-signature.js';
import { digestOf } from '#shared/package/digest.js';
import type { Desired, DesiredModule, ImageReference } from '#shared/protocol/desired.js';
import type { DeviceEvent } from '#shared/protocol/stream.js';
import type { BlockClient } from '#agent/link/block-client.js';
import { entry } from '#agent/reconcile/observed.js';
import type { BlobCache } from '#agent/store/blob-cache.js';

export interface UnsignedPorts {
  /** What answers, by module. */
  readonly served: () => Readonly<Record<string, DesiredModule>>;
  readonly desired: () => Desired | undefined;
  readonly publishers: () => readonly string[];
  /** The publishers' envelope; undefined when it cannot be had now. */
  readonly envelope: (image: ImageReference) => Promise<Uint8Array | undefined>;
  /** They changed; these were not named before. */
  readonly onNews: (news: readonly string[]) => void;
  readonly onError: (error: unknown) => void;
}

export class UnsignedModules {
  private names: readonly string[] = [];
  private running: Promise<void> = Promise.resolve();

  constructor(private readonly ports: UnsignedPorts) {}

  get current(): readonly string[] {
    return this.names;
  }

  /** Looks again, after whatever look is under way. Never rejects. */
  look(): Promise<void> {
    this.running = this.running.then(() => this.lookNow()).catch(this.ports.onError);
    return this.running;
  }

  private async lookNow(): Promise<void> {
    const { served, desired, publishers, envelope, onNews } = this.ports;
    const found: string[] = [];
    for (const [name, module] of Object.entries(served())) {
      const image = newestReference(module.image, entry(desired()?.modules ?? {}, name)?.image);
      const bytes = await envelope(image);
      // What cannot be looked at now stays as it was judged last.
      const counts =
        bytes === undefined ? !this.names.includes(name) : verifyImageSignature(bytes, image, publishers()).ok;
      if (!counts) found.push(name);
    }
    found.sort();
    if (found.join() === this.names.join()) return;
    const news = found.filter((name) => !this.names.includes(name));
    this.names = found;
    onNews(news);
  }
}

/** The same image may be desired with an envelope that more publishers have signed since. */
function newestReference(served: ImageReference, desired: ImageReference | undefined): ImageReference {
  return desired?.digest === served.digest ? desired : served;
}

/** The envelope out of the cache, or fetched into it where there is a connection. */
export async function signatureOf(
  { signature: { digest, size } }: ImageReference,
  blobs: BlobCache,
  blocks: BlockClient | undefined,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const kept = await blobs.read(digest, maxSignatureBytes);
  if (kept !== undefined || blocks === undefined || size === 0 || size > maxSignatureBytes) return kept;
  let bytes = new Uint8Array();
  try {
    await blocks.fetch(
      { kind: 'blob', digest },
      [{ index: 0, offset: 0, length: size }],
      async (_chunk, part) => {
        bytes = Uint8Array.from(part);
      },
      signal,
    );
  } catch (error) {
    if (error instanceof AppError) return undefined;
    throw error;
  }
  if (digestOf(bytes) !== digest) return undefined;
  await blobs.put(digest, bytes);
  return bytes;
}

export function stillAnswers(module: string): Omit<DeviceEvent, 'at'> {
  return {
    level: 'warn',
    type: 'module.unsigned',
    module,
    message:
      'its publisher was withdrawn: it goes on answering, but would not be installed again; deploy an image that a publisher who counts has signed',
  };
}
