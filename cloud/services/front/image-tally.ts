/**
 * What the front counts of each image that answers for a deployment, since it was last taken: of one that is being
 * updated there are two. A request counts when it is over, by what its caller got.
 */
import type { ErrorCode } from '#shared/kernel/errors.js';
import { ModuleCounts } from '#shared/scoring/host/module-counts.js';
import type { FrontImage } from './front-table.js';

export interface ImageNumbers extends ReturnType<ModuleCounts['take']> {
  readonly image: FrontImage;
}

export class ImageTally {
  private counted = new Map<string, { readonly image: FrontImage; readonly counts: ModuleCounts }>();

  /** @param image undefined: it is not known what would have answered, and nothing is counted */
  answered(image: FrontImage | undefined, latencyMs: number): void {
    if (image) this.of(image).succeeded(latencyMs);
  }

  failed(image: FrontImage | undefined, code: ErrorCode): void {
    if (image) this.of(image).failed(code);
  }

  take(): ImageNumbers[] {
    const taken = [...this.counted.values()];
    this.counted = new Map();
    return taken.map(({ image, counts }) => ({ image, ...counts.take() }));
  }

  private of(image: FrontImage): ModuleCounts {
    const known = this.counted.get(image.digest);
    if (known) return known.counts;
    const counts = new ModuleCounts();
    this.counted.set(image.digest, { image, counts });
    return counts;
  }
}
