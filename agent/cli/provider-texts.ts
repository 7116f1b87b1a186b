/** Providers for people. */
import type { CheckRow } from '#agent/providers/check-row.js';
import type { InstallOrigin } from '#agent/providers/installed-providers.js';
import type { ProviderName, ProviderOrigin } from '#agent/providers/platform-providers.js';
import { nodesText } from '#shared/supervisor/ran-on.js';

export interface ProviderView {
  readonly provider: ProviderName;
  readonly origin: ProviderOrigin;
  readonly needs: string;
  readonly installed?: InstallOrigin;
  readonly damage?: string;
}

const origins: Record<ProviderOrigin, string> = {
  bundled: 'bundled',
  'to-install': 'not installed',
  'not-here': 'not on this platform',
};

export function listText(list: {
  readonly onnxruntime: string;
  readonly platform: string;
  readonly providers: readonly ProviderView[];
}): string[] {
  const rows = list.providers.map(({ provider, origin, needs, installed, damage }) => [
    provider,
    damage !== undefined ? 'damaged' : installed !== undefined ? `installed ${installed.at}` : origins[origin],
    damage ?? (installed === undefined ? needs : `from ${installed.from.map(({ source }) => source).join(', ')}`),
  ]);
  return [`onnxruntime ${list.onnxruntime} on ${list.platform}`, '', ...table(['PROVIDER', 'HERE', 'NEEDS'], rows)];
}

export function checkText(rows: readonly CheckRow[]): string[] {
  const lines = table(
    ['PROVIDER', 'AVAILABLE', 'WORKS', 'DIFFERENCE', 'MS A RUN', 'TIMES CPU', 'NODES'],
    rows.map(({ provider, available, outcome, difference, runMs, timesCpu, nodes }) => [
      provider,
      available ? 'yes' : 'no',
      outcome === 'works' ? 'yes' : outcome === 'unavailable' ? 'no' : outcome,
      difference === undefined ? '-' : difference.toExponential(1),
      runMs === undefined ? '-' : runMs.toFixed(2),
      timesCpu === undefined ? '-' : timesCpu.toFixed(2),
      nodes === undefined ? '-' : nodesText(nodes),
    ]),
  );
  const reasons = rows.flatMap(({ provider, reason, remedy }) =>
    reason === undefined ? [] : [`${provider}: ${reason}`, ...(remedy === undefined ? [] : [`  ${remedy}`])],
  );
  return reasons.length === 0 ? lines : [...lines, '', ...reasons];
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
