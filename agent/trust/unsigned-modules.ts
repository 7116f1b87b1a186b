/**
 * Which modules answer although nobody who counts has signed their image any more: their publisher was
 * withdrawn. They go on answering, since stopping them is a recall's business; they are named.
 */
import { verifyImageSignature } from '#shared/package/image-signature.js';
import type { Desired, DesiredModule, ImageReference } from '#shared/protocol/desired.js';
import { entry } from '#agent/reconcile/observed.js';

export interface UnsignedPorts {
  /** What answers, by module. */
  readonly served: () => Readonly<Record<string, DesiredModule>>;
  readonly desired: () => Desired | undefined;
  readonly publishers: () => readonly string[];
  /** The publishers' envelope, from the cache or the network; undefined when it cannot be had now. */
  readonly envelope: (image: ImageReference) => Promise<Uint8Array | undefined>;
  readonly onChanged: (unsigned: readonly string[]) => void;
}

export class UnsignedModules {
  private names: readonly string[] = [];
  private running: Promise<void> = Promise.resolve();

  constructor(private readonly ports: UnsignedPorts) {}

  get current(): readonly string[] {
    return this.names;
  }

  /** Looks again, after whatever look is under way. */
  look(): Promise<void> {
    this.running = this.running.then(() => this.lookNow());
    return this.running;
  }

  private async lookNow(): Promise<void> {
    const { served, desired, publishers, envelope, onChanged } = this.ports;
    const found: string[] = [];
    for (const [name, module] of Object.entries(served())) {
      const image = newestReference(module.image, entry(desired()?.modules ?? {}, name)?.image);
      const bytes = await envelope(image);
      // What cannot be looked at now stays as it was judged last.
      const signed =
        bytes === undefined ? !this.names.includes(name) : verifyImageSignature(bytes, image, publishers()).ok;
      if (!signed) found.push(name);
    }
    found.sort();
    if (found.join() === this.names.join()) return;
    this.names = found;
    onChanged(found);
  }
}

/** The same image may be desired with an envelope that more publishers have signed since. */
function newestReference(served: ImageReference, desired: ImageReference | undefined): ImageReference {
  return desired?.digest === served.digest ? desired : served;
}
