/** What came of copies of one module's requests on some devices, each with a shadow and since an instant of its own. */
import type { TelemetryStore } from '#cloud/store/telemetry-database.js';
import { joinShadows } from '#shared/protocol/merge-metrics.js';
import type { ShadowMetrics } from '#shared/protocol/shadow.js';
import { readDetail, shadowKeyOf } from './module-detail.js';
import { readSummed } from './summed.js';
import type { ShadowAnswer, ShadowQuestion } from './telemetry-port.js';
import { type SpanPart, wholeSpans } from './whole-spans.js';

export async function readShadows(db: TelemetryStore, question: ShadowQuestion): Promise<ShadowAnswer> {
  let sum: ShadowMetrics | undefined;
  let told = 0;
  const summed = await readSummed(db);
  for (const { device, digest, tag, fromMs } of question.devices) {
    let own: ShadowMetrics | undefined;
    for (const part of wholeSpans(fromMs, undefined, summed)) {
      for (const detailJson of await rowsOf(db, question, device, part)) {
        const shadow = readDetail(detailJson).shadows?.[shadowKeyOf(digest, tag)];
        own = joined(own, shadow);
      }
    }
    if (own !== undefined) told += 1;
    sum = joined(sum, own);
  }
  return { sum, told };
}

function joined(earlier: ShadowMetrics | undefined, later: ShadowMetrics | undefined): ShadowMetrics | undefined {
  if (earlier === undefined || later === undefined) return earlier ?? later;
  return joinShadows(earlier, later) ?? later;
}

async function rowsOf(
  db: TelemetryStore,
  { workspace, module }: ShadowQuestion,
  device: string,
  { resolution, fromMs, toMs }: SpanPart,
): Promise<(string | null)[]> {
  const until = Number.isFinite(toMs) ? toMs : Number.MAX_SAFE_INTEGER;
  const rows =
    resolution === 0
      ? await db
          .selectFrom('moduleMetrics')
          .select('detailJson')
          .where((where) => where.and({ workspace, device, module }))
          .where('receivedAt', '>=', fromMs)
          .where('receivedAt', '<', until)
          .execute()
      : await db
          .selectFrom('moduleRollups')
          .select('detailJson')
          .where((where) => where.and({ workspace, device, resolution, module }))
          .where('startAt', '>=', fromMs)
          .where('startAt', '<', until)
          .execute();
  return rows.map(({ detailJson }) => detailJson);
}
