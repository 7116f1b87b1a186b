/** How shadows compared with what answered, over a span. Pure. */
import type { ModuleSpan, Measure } from './measure.js';
import { readDetail } from './module-detail.js';

export const shadowFigures = ['agreement', 'compared', 'errors', 'dropped'] as const;
export type ShadowFigure = (typeof shadowFigures)[number];

/** Of all shadows of the versions that rows are about. */
export class ShadowComparison implements Measure<ModuleSpan> {
  private readonly sums = { agreement: 0, compared: 0, errors: 0, dropped: 0 };

  constructor(private readonly of: ShadowFigure) {}

  add({ detailJson }: ModuleSpan): void {
    for (const shadow of Object.values(readDetail(detailJson).shadows ?? {})) {
      this.sums.compared += shadow.compared;
      this.sums.agreement += shadow.agreed;
      this.sums.errors += shadow.shadowErrors;
      this.sums.dropped += shadow.dropped;
    }
  }

  value(): number | null {
    if (this.of !== 'agreement') return this.sums[this.of];
    return this.samples === 0 ? null : this.sums.agreement / this.samples;
  }

  get samples(): number {
    return this.sums.compared;
  }
}
