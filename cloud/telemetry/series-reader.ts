/** One metric over time, by what it is asked for: read from minutes, or from hours where the span or the step is long. */
import type { TelemetryStore } from '#cloud/store/telemetry-database.js';
import { GaugeMeasure, type Measure, moduleMeasure, type ModuleSpan } from './measure.js';
import { floors } from './retention.js';
import { readCursor, type Resolution, startOf } from './roll-up.js';
import type { SystemGauges } from './system-gauges.js';
import type { Series, SeriesAnswer, SeriesQuestion } from './telemetry-port.js';

/** More are counted, not told. */
export const maxSeries = 500;
const hourMs = 3_600_000;

export async function readSeries(db: TelemetryStore, question: SeriesQuestion): Promise<SeriesAnswer> {
  const minutesFloor = await readCursor(db, floors.minutes);
  const resolution: Resolution = question.fromMs < minutesFloor || question.stepMs % hourMs === 0 ? 3600 : 60;
  const unitMs = resolution * 1000;
  const stepMs = Math.max(unitMs, Math.ceil(question.stepMs / unitMs) * unitMs);
  const fromMs = startOf(question.fromMs, resolution);
  const steps = Math.max(1, Math.ceil((question.toMs - fromMs) / stepMs));
  const gathered = new Gathering(steps);
  const at = (startAt: number): number => Math.min(steps - 1, Math.floor((startAt - fromMs) / stepMs));
  const span = { ...question, fromMs, resolution };
  const { metric } = question;
  if (metric.source === 'system') {
    const measures = gathered.of(() => new GaugeMeasure(metric));
    await eachSystemRow(db, span, (row) => {
      const gauges = JSON.parse(row.gaugesJson) as SystemGauges;
      // A machine that has no such sensor is no line of nothing.
      if (gauges[metric.gauge]) measures(keyOf(question, row), at(row.startAt)).add(gauges);
    });
  } else {
    const measures = gathered.of(() => moduleMeasure(metric));
    await eachModuleRow(db, span, (row) => measures(keyOf(question, row), at(row.startAt)).add(row));
  }
  return { fromMs, stepMs, resolution, ...gathered.answer() };
}

class Gathering {
  private readonly lines = new Map<string, (Pick<Measure<never>, 'value' | 'samples'> | undefined)[]>();

  constructor(private readonly steps: number) {}

  of<Row>(make: () => Measure<Row>): (key: string, step: number) => Measure<Row> {
    return (key, step) => {
      const line = this.lines.get(key) ?? new Array<Measure<Row> | undefined>(this.steps).fill(undefined);
      this.lines.set(key, line);
      const known = line[step] as Measure<Row> | undefined;
      const measure = known ?? make();
      line[step] = measure;
      return measure;
    };
  }

  answer(): { readonly series: Series[]; readonly leftOff: number } {
    const keys = [...this.lines.keys()].sort();
    const series = keys.slice(0, maxSeries).map((key) => {
      const line = this.lines.get(key) ?? [];
      return {
        key,
        values: line.map((measure) => measure?.value() ?? null),
        samples: line.reduce((sum, measure) => sum + (measure?.samples ?? 0), 0),
      };
    });
    return { series, leftOff: keys.length - series.length };
  }
}

interface RowNames {
  readonly device: string;
  readonly module?: string;
  readonly version?: number;
}

function keyOf({ by }: SeriesQuestion, { device, module = '', version = 0 }: RowNames): string {
  switch (by) {
    case 'device':
      return device;
    case 'module':
      return module;
    case 'version':
      return `${module}:${String(version)}`;
    case undefined:
      return '';
  }
}

interface Span extends SeriesQuestion {
  readonly resolution: Resolution;
}

type ModuleRow = ModuleSpan & { readonly startAt: number; readonly device: string; module: string; version: number };

async function eachModuleRow(db: TelemetryStore, span: Span, use: (row: ModuleRow) => void): Promise<void> {
  for (const [from, to] of slicesOf(span)) {
    let query = db
      .selectFrom('moduleRollups')
      .select(['device', 'module', 'version', 'startAt', 'requests', 'errorsJson', 'latencyJson', 'detailJson'])
      .where('workspace', '=', span.workspace)
      .where('resolution', '=', span.resolution)
      .where('startAt', '>=', from)
      .where('startAt', '<', to);
    if (span.device !== undefined) query = query.where('device', '=', span.device);
    if (span.module !== undefined) query = query.where('module', '=', span.module);
    if (span.version !== undefined) query = query.where('version', '=', span.version);
    for (const row of await query.execute()) use(row);
  }
}

type SystemRow = { readonly startAt: number; readonly device: string; readonly gaugesJson: string };

async function eachSystemRow(db: TelemetryStore, span: Span, use: (row: SystemRow) => void): Promise<void> {
  for (const [from, to] of slicesOf(span)) {
    const query = db
      .selectFrom('systemRollups')
      .select(['device', 'startAt', 'gaugesJson'])
      .where('workspace', '=', span.workspace)
      .where('resolution', '=', span.resolution)
      .where('startAt', '>=', from)
      .where('startAt', '<', to);
    for (const row of await (span.device === undefined ? query : query.where('device', '=', span.device)).execute()) {
      use(row);
    }
  }
}

/** A month asked for of a whole fleet does not fill the memory. */
function* slicesOf({ fromMs, toMs, resolution, device }: Span): Generator<readonly [number, number]> {
  const lengthMs = resolution * 1000 * (device === undefined ? 5 : 500);
  for (let from = fromMs; from < toMs; from += lengthMs) yield [from, Math.min(toMs, from + lengthMs)];
}
