/** What some images did on the deployments of an endpoint, and on some devices, over one span: read in one pass for all. */
import { type RawBuilder, sql } from 'kysely';
import type { TelemetryStore } from '#cloud/store/telemetry-database.js';
import { sourceOf, sourcesOf } from '#cloud/services/service-source.js';
import { decodeSketch, emptySketch, mergeSketch } from '#shared/protocol/sketch.js';
import { addSpan, noNumbers } from './cohort-numbers.js';
import type { ModuleSpan } from './measure.js';
import { type ModuleDetail, readDetail } from './module-detail.js';
import { floors } from './retention.js';
import { eachModuleRow } from './series-rows.js';
import { readCursor, startOf } from './summed.js';
import type { ComparedImage, SideAnswer, SideQuestion, SidesAnswer, SidesQuestion } from './telemetry-port.js';

const maxNamed = 500;
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
  const only = sql<boolean>`(${tellsOf(digests)} and ${isOf(question.sides)})`;
  await eachModuleRow(db, { workspace, fromMs, toMs, resolution, only }, (row) => {
    for (const { holds, side } of sides) if (holds(row.device)) side.add(row);
  });
  return { fromMs, sides: sides.map(({ side }) => side.answer()) };
}

/** A shadow stands in what is told of the version beside which it runs. */
function tellsOf(digests: readonly string[]): RawBuilder<boolean> {
  const shadowed = digests.map((digest) => sql`coalesce(instr(detailJson, ${digest}), 0) > 0`);
  return sql<boolean>`(digest in (${sql.join(digests)}) or ${sql.join(shadowed, sql` or `)})`;
}

/** Where they are few enough to be named in a question; the rest is sorted out afterwards. */
function isOf(sides: readonly SideQuestion[]): RawBuilder<boolean> {
  const devices = sides.flatMap((side) => ('devices' in side ? side.devices : []));
  if (devices.length > maxNamed) return sql<boolean>`true`;
  const endpoints = sides.flatMap((side) => {
    if (!('endpoint' in side)) return [];
    const [from, before] = sourcesOf(side.endpoint);
    return [sql<boolean>`(device >= ${from} and device < ${before})`];
  });
  const named = devices.length === 0 ? [] : [sql<boolean>`device in (${sql.join(devices)})`];
  return sql<boolean>`(${sql.join([sql<boolean>`false`, ...endpoints, ...named], sql` or `)})`;
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
    const { stages, shadows = {} } = readDetail(row.detailJson);
    if (this.wanted.has(row.digest)) this.addOwn(row, stages);
    for (const shadow of Object.values(shadows)) {
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

  private addOwn(row: Row, stages: ModuleDetail['stages']): void {
    const { digest, module, version } = row;
    const key = `${digest} ${module}`;
    const of = this.images.get(key) ?? { digest, module, version, numbers: noNumbers(), compute: emptySketch() };
    this.images.set(key, of);
    addSpan(of.numbers, row);
    const compute = stages && decodeSketch(stages.computeMs);
    if (compute) mergeSketch(of.compute, compute);
    this.told.add(row.device);
  }
}
