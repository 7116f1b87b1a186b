/** What some images did on the deployments of an endpoint, and on some devices, over one span: read in one pass for all. */
import type { TelemetryStore } from '#cloud/store/telemetry-database.js';
import { sourceOf, sourcesOf } from '#cloud/services/service-source.js';
import { decodeSketch, emptySketch, mergeSketch } from '#shared/protocol/sketch.js';
import { addSpan, noNumbers } from './cohort-numbers.js';
import type { ModuleSpan } from './measure.js';
import { readDetail } from './module-detail.js';
import { floors } from './retention.js';
import { eachModuleRow } from './series-rows.js';
import { readCursor, startOf } from './summed.js';
import type { ComparedImage, SideAnswer, SideQuestion, SidesAnswer, SidesQuestion } from './telemetry-port.js';

/** Longer spans are read from hours. */
const minutesUpToMs = 48 * 3_600_000;

type Row = ModuleSpan & {
  readonly device: string;
  readonly module: string;
  readonly version: number;
  readonly digest: string;
};

export async function readSides(db: TelemetryStore, question: SidesQuestion): Promise<SidesAnswer> {
  const { workspace, digests, toMs } = question;
  const minutesFloor = await readCursor(db, floors.minutes);
  const isLong = question.fromMs < minutesFloor || toMs - question.fromMs > minutesUpToMs;
  const resolution = isLong ? 3600 : 60;
  const fromMs = startOf(question.fromMs, resolution);
  const wanted = new Set(digests);
  const sides = question.sides.map((side) => ({ holds: holderOf(side), side: new Side(wanted) }));
  await eachModuleRow(db, { workspace, fromMs, toMs, resolution, about: digests }, (row) => {
    for (const { holds, side } of sides) if (holds(row.device)) side.add(row);
  });
  return { fromMs, sides: sides.map(({ side }) => side.answer()) };
}

function holderOf(side: SideQuestion): (source: string) => boolean {
  if ('devices' in side) {
    const names = new Set(side.devices);
    return (source) => names.has(source);
  }
  const { endpoint, deployment } = side;
  if (deployment !== undefined) return (source) => source === sourceOf(endpoint, deployment);
  const [from] = sourcesOf(endpoint);
  return (source) => source.startsWith(from);
}

class Side {
  private readonly images = new Map<string, ComparedImage>();
  private readonly told = new Set<string>();
  private readonly copies = { compared: 0, agreed: 0, uncompared: 0, errors: 0, dropped: 0 };
  private largestDifference: number | undefined;

  constructor(private readonly wanted: ReadonlySet<string>) {}

  add(row: Row): void {
    if (this.wanted.has(row.digest)) this.addOwn(row);
    for (const shadow of Object.values(readDetail(row.detailJson).shadows ?? {})) {
      if (!this.wanted.has(shadow.digest)) continue;
      this.told.add(row.device);
      this.copies.compared += shadow.compared;
      this.copies.agreed += shadow.agreed;
      this.copies.uncompared += shadow.uncompared;
      this.copies.errors += shadow.shadowErrors;
      this.copies.dropped += shadow.dropped;
      const { largestDifference } = shadow;
      if (largestDifference !== undefined) {
        this.largestDifference = Math.max(this.largestDifference ?? 0, largestDifference);
      }
    }
  }

  answer(): SideAnswer {
    const { copies, largestDifference } = this;
    const isCopied = Object.values(copies).some((count) => count > 0);
    return {
      images: [...this.images.values()].sort((a, b) => b.numbers.requests - a.numbers.requests),
      told: this.told.size,
      ...(isCopied ? { copies: { ...copies, ...(largestDifference === undefined ? {} : { largestDifference }) } } : {}),
    };
  }

  private addOwn(row: Row): void {
    const { digest, module, version } = row;
    const key = `${digest} ${module}`;
    const of = this.images.get(key) ?? { digest, module, version, numbers: noNumbers(), compute: emptySketch() };
    this.images.set(key, of);
    addSpan(of.numbers, row);
    const { stages } = readDetail(row.detailJson);
    const compute = stages && decodeSketch(stages.computeMs);
    if (compute) mergeSketch(of.compute, compute);
    this.told.add(row.device);
  }
}
