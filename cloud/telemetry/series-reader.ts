/** One metric over time, by what it is asked for: read from minutes, or from hours where the span or the step is long. */
import type { TelemetryStore } from '#cloud/store/telemetry-database.js';
import { GaugeMeasure, type Measure, moduleMeasure } from './measure.js';
import { floors } from './retention.js';
import { eachModuleRow, eachSystemRow } from './series-rows.js';
import { ceilOf, readCursor, type Resolution, startOf } from './summed.js';
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
  const span = { ...question, fromMs, toMs: ceilOf(question.toMs, resolution), resolution };
  const { metric } = question;
  if (metric.source === 'system') {
    const measures = gathered.of(() => new GaugeMeasure(metric));
    await eachSystemRow(db, span, ({ gauges, ...row }) => {
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
