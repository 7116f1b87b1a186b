/** Shadows and how they compare, in words and tables for a person. */
import type { ShadowReport } from '#shared/protocol/shadow.js';
import type { DeviceBody } from '#cloud/http/schemas/devices.js';
import type { TelemetryBody } from '#cloud/http/schemas/telemetry.js';
import { formatTable } from './output.js';

/** One row a shadow, desired or reported; empty when there is none. */
export function describeShadows({ desired, reported }: Pick<DeviceBody, 'desired' | 'reported'>): string {
  const names = [...new Set([...Object.keys(desired.modules), ...Object.keys(reported.modules)])].sort();
  const rows = names.flatMap((name) => {
    const wanted = desired.modules[name]?.shadow;
    const report = reported.modules[name]?.shadow;
    if (wanted === undefined && report === undefined) return [];
    return [
      [
        name,
        wanted === undefined ? '(to be gone)' : `${wanted.name}:${String(wanted.version)}`,
        wanted === undefined ? '-' : `${String(wanted.percent)} %`,
        report?.state ?? '-',
        ...comparedTexts(report),
        report?.reason?.message ?? '',
      ],
    ];
  });
  const head = ['MODULE', 'SHADOW', 'COPIED', 'STATE', 'COMPARED', 'AGREED', 'ERRORS', 'P99 MS', 'REASON'];
  return rows.length === 0 ? '' : formatTable(head, rows);
}

function comparedTexts(report: ShadowReport | undefined): string[] {
  const { compared, agreed = 0, shadowErrors = 0, liveP99Ms, shadowP99Ms } = report?.numbers ?? {};
  if (compared === undefined) return ['-', '-', '-', '-'];
  const latency = `${milliseconds(shadowP99Ms)}, live ${milliseconds(liveP99Ms)}`;
  return [String(compared), shareText(agreed, compared), String(shadowErrors), latency];
}

/** One row for each version that got copies; empty when none did. */
export function describeComparisons({ modules }: TelemetryBody): string {
  const rows = modules.flatMap(({ module, version, shadows = [] }) =>
    shadows.map((shadow) => [
      `${module}:${String(version)}`,
      String(shadow.version),
      String(shadow.compared),
      shareText(shadow.agreed, shadow.compared),
      String(shadow.shadowErrors),
      String(shadow.dropped),
      `${milliseconds(shadow.shadowMs.p50)}, live ${milliseconds(shadow.liveMs.p50)}`,
      `${milliseconds(shadow.shadowMs.p99)}, live ${milliseconds(shadow.liveMs.p99)}`,
    ]),
  );
  const head = ['MODULE', 'SHADOW', 'COMPARED', 'AGREED', 'ERRORS', 'DROPPED', 'P50 MS', 'P99 MS'];
  return rows.length === 0 ? '' : formatTable(head, rows);
}

export function shareText(part: number, of: number): string {
  return of === 0 ? '-' : `${String(Math.floor((10_000 * part) / of) / 100)} %`;
}

function milliseconds(ms: number | null | undefined): string {
  return ms === null || ms === undefined ? '-' : ms.toPrecision(3);
}
